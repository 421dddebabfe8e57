"""Figures of a study: described once, printed as SVG for pages and painted as PNG for MLflow."""
