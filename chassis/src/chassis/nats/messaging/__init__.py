"""Durable consumers of events, and commands with their replies."""
