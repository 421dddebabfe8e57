"""The store: one database for studies, tokens and the outbox."""
