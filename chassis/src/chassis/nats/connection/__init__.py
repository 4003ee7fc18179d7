"""The connection: login, TLS, reconnecting, and what the server refuses."""
