"""HTTP of the service beside its routes: server, security, problems, pages."""
