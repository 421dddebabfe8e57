"""Modules loaded into fork servers before the first job."""
