"""A small deterministic talker: what it answers follows from what was said, and from the clock, alone."""
