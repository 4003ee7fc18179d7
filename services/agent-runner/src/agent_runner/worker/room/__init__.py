"""The LiveKit room."""
