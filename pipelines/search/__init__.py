"""Search: the Optuna side of a study."""
