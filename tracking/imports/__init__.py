"""Imports of large libraries without the parts that a process does not need: hidden, or loaded at their first use."""
