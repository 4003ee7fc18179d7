"""Usage, metering, rating and the ledger: pure functions."""
