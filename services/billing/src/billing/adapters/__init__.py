"""SQL and NATS."""
