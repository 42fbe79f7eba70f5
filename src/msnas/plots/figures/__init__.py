"""The figures of the report, one file for each figure, found by listing this folder.

A file's first line is the figure's title; the docstring of its function `chart` is the caption.
"""
