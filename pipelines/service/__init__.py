"""What a team keeps running: studies are submitted to it, queued, run, watched, controlled and exported."""
