"""Study files written for a data file: what was inferred, what looks wrong, and a space that suits its size."""
