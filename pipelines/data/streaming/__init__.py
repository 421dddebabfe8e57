"""Data larger than memory: rows read in pieces, and arrays in files."""
