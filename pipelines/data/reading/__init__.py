"""Rows of a source: files, pictures, sets and loaders."""
