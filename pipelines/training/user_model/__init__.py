"""Training of user models: hypermodels and their own `fit`."""
