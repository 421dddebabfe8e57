"""Search by a Gaussian process: over points of a space, and over the learning curves of their trials."""
