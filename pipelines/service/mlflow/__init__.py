"""MLflow behind the service: its UI and API, with the service's hosts and accounts."""
