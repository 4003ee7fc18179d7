"""Billing's read-only HTTP API."""
