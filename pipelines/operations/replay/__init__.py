"""Replay: a recorded trial trained again and compared with its record."""
