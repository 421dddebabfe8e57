"""Failpoints for fault injection."""
