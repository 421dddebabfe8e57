"""The search-space language: what may be tuned, over which values, under which conditions."""
