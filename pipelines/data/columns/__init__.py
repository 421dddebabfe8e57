"""Columns of a table: their types, forms and encodings."""
