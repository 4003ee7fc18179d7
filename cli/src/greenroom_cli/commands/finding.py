"""The options that choose sessions, and how a list shows them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from contracts.api_v1 import SessionSummary
from contracts.events import Outcome
from greenroom_cli.commands import options
from greenroom_cli.errors import CommandError

STATUSES: Final = ("requested", "queued", "starting", "ready", "active", "ended", "rejected")

Users = Annotated[str | None, typer.Option("--user", help="Only sessions of this user name or user id.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", help=f"Only these; may be repeated: {', '.join(STATUSES)}."),
]
Outcomes = Annotated[
    list[str] | None,
    typer.Option("--outcome", help=f"Only these; may be repeated: {', '.join(Outcome)}."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--from", help="Requested at this time or later: 2026-11-24, 2026-11-24T12:00:00Z, or 30m, 2h, 3d ago."
    ),
]
Until = Annotated[str | None, typer.Option("--to", help="Requested before this time, written as for --from.")]
Metadata = Annotated[str | None, typer.Option("--metadata", help="Only with this KEY, or KEY:VALUE, in the metadata.")]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def query(
    *,
    user: str | None = None,
    status: Sequence[str] | None = None,
    outcome: Sequence[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    metadata: str | None = None,
    now: datetime,
) -> dict[str, str | int | Sequence[str]]:
    """The query of `GET /v1/sessions` from a command's options.

    Raises:
        CommandError: Names the invalid option.
    """
    asked: dict[str, str | int | Sequence[str] | None] = {
        "user": None if user is None else options.as_typed("--user", user),
        "status": [_one_of("--status", each, STATUSES) for each in status or ()],
        "outcome": [_one_of("--outcome", each, tuple(Outcome)) for each in outcome or ()],
        "from": None if since is None else _instant("--from", since, now),
        "to": None if until is None else _instant("--to", until, now),
        "metadata": None if metadata is None else options.as_typed("--metadata", metadata),
    }
    for name in ("user", "metadata"):
        if asked[name] == "":
            raise CommandError(f"--{name} is empty", "name one, or leave the option out")
    return {name: value for name, value in asked.items() if value}


def since(at: datetime | None, now: datetime) -> str:
    """How long ago, in the two largest units: "3 d 4 h", "12 m 5 s"."""
    if at is None:
        return "-"
    seconds = max(0, round((now - at).total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m {seconds % 60} s" if minutes else f"{seconds} s"


def latency(session: SessionSummary) -> str | None:
    """The last answer's latency, and the stage that broke the budget."""
    turn = session.last_turn
    if turn is None or turn.latency_ms is None:
        return None
    return f"{turn.latency_ms} ms" + (f", slow: {turn.over_budget}" if turn.over_budget else "")


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise CommandError(
            f"{option} {options.as_typed(option, value)!r} is invalid", f"it is one of {', '.join(known)}"
        )
    return value


def _instant(option: str, written: str, now: datetime) -> str:
    """An RFC 3339 time in UTC."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", written)
    try:
        if ago:
            at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(written)
            at = at if at.tzinfo else at.astimezone()
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        shown = options.as_typed(option, written)
        raise CommandError(
            f"{option} {shown!r} is not a time", "write 2026-11-24, 2026-11-24T12:00:00Z, or 30m, 2h, 3d ago"
        ) from None
