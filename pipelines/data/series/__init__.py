"""Windows of time series."""
