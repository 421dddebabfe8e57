"""Studies, uploads and models of a service, as its routes use them."""
