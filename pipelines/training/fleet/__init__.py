"""Fleets: many trials of the `mlp` family trained together as one compiled JAX program."""
