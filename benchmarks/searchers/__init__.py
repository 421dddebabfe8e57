"""Searches of kerastudy and its peers behind one interface, for simulated trainings."""
