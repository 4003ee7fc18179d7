"""A small deterministic talker: its answer depends only on the conversation and the clock."""
