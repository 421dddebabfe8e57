"""Training of one model on several devices at once: each takes its share of every batch."""
