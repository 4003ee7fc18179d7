"""The scheduler's decisions: pure, over frozen values; time comes in as an argument."""
