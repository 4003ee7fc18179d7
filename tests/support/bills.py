"""Builders of bills as the API gives them."""

from datetime import UTC, datetime
from typing import Any

from contracts.api import SessionBill


def session_bill(session_id: str = "session_a", **fields: Any) -> SessionBill:
    """Two minutes of Ann's, without epochs and entries; `fields` overrides any field."""
    values: dict[str, Any] = {
        "user_id": "ann",
        "outcome": "completed",
        "reason": "requested",
        "billable_ms": 61_000,
        "seconds": 61,
        "minutes": 2,
        "credits": 2,
        "settled_at": datetime(2026, 11, 24, tzinfo=UTC),
        "epochs": [],
        "entries": [],
    }
    return SessionBill(session_id=session_id, **(values | fields))
