"""The database's history; `python -m billing.migrate` applies it."""
