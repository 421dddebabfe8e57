"""Targets, labels and weights of rows."""
