"""The gateway's rules: pure functions."""
