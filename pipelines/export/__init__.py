"""The best model in the forms that deployments take, one file a format."""
