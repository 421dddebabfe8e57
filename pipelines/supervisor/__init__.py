"""The supervisor: the one process that drives a study's trials."""
