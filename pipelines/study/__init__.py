"""A checked study, and what is stored of it."""
