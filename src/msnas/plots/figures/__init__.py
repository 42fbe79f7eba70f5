"""The figures of the report, one file each, found by listing this folder.

A file's first line is the figure's title, the docstring of its function `chart` the caption.
"""
