"""Exports of a trial's model in deployment formats."""
