"""HTTP routes of the service, one file a topic; with `service.app`, the only files that import FastAPI."""
