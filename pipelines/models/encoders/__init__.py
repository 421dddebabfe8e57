"""Encoders: layers that make vectors of one form of features, for the families to join."""
