"""Baselines of a study: simple models on the same rows, whose scores a winner has to beat."""
