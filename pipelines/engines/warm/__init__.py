"""Processes kept for the next command: fork servers, and workers with compiled programs."""
