"""Conflicts with a stored settlement: the same bill, or another one under the same session id."""

from billing.domain.ledger import Entry, Settlement


class SettledMeanwhile(Exception):
    """Another replica settled the session with another tariff during this settlement."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} was settled meanwhile by another tariff")
        self.session_id = session_id


class SettledOtherwise(Exception):
    """The ledger has another bill under this session's id, so this one can never be written.

    Attributes:
        reason: How the two differ.
    """

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(f"{session_id} is in the ledger with another bill: {reason}")
        self.session_id = session_id
        self.reason = reason


def check_settlement(stored: Settlement, ours: Settlement) -> None:
    """Check that the stored settlement equals ours.

    Raises:
        SettledMeanwhile: It has another tariff; compute ours again with that one.
        SettledOtherwise: It was made from another log (the session id was used again after the log had dropped it),
            or from the same log with another result.
    """
    if (stored.log, stored.settled_ms) != (ours.log, ours.settled_ms):
        raise SettledOtherwise(
            ours.session_id,
            f"it was made from the end at {stored.log.ended_seq} (log {stored.log.sha256[:12]}), "
            f"and this one is at {ours.log.ended_seq} (log {ours.log.sha256[:12]})",
        )
    if stored.tariff != ours.tariff:
        raise SettledMeanwhile(ours.session_id)
    if stored != ours:
        raise SettledOtherwise(ours.session_id, f"{stored.charge}, and the same log now gives {ours.charge}")


def check_entry(stored: Entry, ours: Entry) -> None:
    """Check that the stored entry equals ours, or raise `SettledOtherwise`."""
    if stored != ours:
        raise SettledOtherwise(ours.session_id, f"entry {ours.entry_id} has {stored.charge}, not {ours.charge}")
