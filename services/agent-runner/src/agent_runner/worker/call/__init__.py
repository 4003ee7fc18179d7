"""One call: its start, what is watched during it, its last words."""
