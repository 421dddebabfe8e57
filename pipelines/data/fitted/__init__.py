"""Fitted preprocessing of one fold: its values, its file, and its outputs without Keras."""
