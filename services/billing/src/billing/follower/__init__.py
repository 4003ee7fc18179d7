"""The follower reads the log, settles the sessions that are due, and moves its position in the log."""
