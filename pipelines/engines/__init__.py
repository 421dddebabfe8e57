"""Engines that run jobs: their interface, and the engine of local worker processes."""
