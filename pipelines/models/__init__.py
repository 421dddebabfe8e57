"""Model families, written as KerasTuner hypermodels."""
