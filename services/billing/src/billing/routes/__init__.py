"""Billing over HTTP: reading only."""
