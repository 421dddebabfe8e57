"""What a worker does with a job: train the trials it holds."""
