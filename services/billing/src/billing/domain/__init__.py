"""What billing decides: usage, metering, rating and the ledger, all pure."""
