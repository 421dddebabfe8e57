"""Examples of any structure, as a user model takes them."""
