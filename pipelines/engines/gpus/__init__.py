"""GPUs of this machine: those that are visible, and the workers that share them."""
