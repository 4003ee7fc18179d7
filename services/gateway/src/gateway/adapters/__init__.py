"""Adapters, each to one outside system. They translate; they make no decisions."""
