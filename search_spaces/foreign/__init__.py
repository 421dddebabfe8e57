"""Search spaces of other tools, read and written: one module a format, `formats` over them."""
