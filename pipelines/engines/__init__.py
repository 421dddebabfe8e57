"""What runs jobs: the seam, and local worker processes behind it."""
