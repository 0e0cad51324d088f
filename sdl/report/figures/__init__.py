"""Figures as inline SVG: axes, and one module a figure; drawn without any library."""
