"""The gateway over HTTP: read, decide, write, announce."""
