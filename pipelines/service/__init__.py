"""Service of a team: studies are submitted, queued, run, watched, controlled and exported over HTTP."""
