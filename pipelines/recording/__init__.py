"""Recording: what happens in a study, written as records for MLflow."""
