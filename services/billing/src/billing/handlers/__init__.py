"""What billing does when something happens: follow the log, settle by it, write the ledger, announce."""
