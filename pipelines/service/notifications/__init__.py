"""Notifications about studies, and their receivers."""
