"""What billing talks to: SQL and the bus."""
