"""Commands: requests out, and FastStream routers that answer those that come in."""
