"""Models and data that came from Python as objects: their digests and their files."""
