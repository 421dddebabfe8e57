"""Modules that fork servers import before the first job."""
