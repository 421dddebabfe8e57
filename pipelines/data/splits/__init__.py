"""Parts and folds of the rows."""
