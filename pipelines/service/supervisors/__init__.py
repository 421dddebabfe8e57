"""Supervisor processes of a host's studies, and the order in which they start."""
