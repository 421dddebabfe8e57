"""Training of trials in workers, and the files they leave."""
