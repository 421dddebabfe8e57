"""Queries: studies and trials read from the store as plain values."""
