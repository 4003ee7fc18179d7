"""What the gateway decides: pure functions over facts."""
