"""Integrations with other tuners."""
