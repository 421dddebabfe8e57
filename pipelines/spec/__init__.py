"""The study file's schema and its error messages."""
