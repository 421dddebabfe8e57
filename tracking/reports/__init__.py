"""Reports and plots of a study."""
