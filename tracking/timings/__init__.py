"""Times of a study: which process did what from when to when, measured where the work is done."""
