"""Clients of studies: this machine's home, or a service over HTTP."""
