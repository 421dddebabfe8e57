"""Data of a study: sources, splits, preprocessing layers and prepared arrays."""
