"""Figures: a grammar of layers, and two renderers, on paper and on the page."""
