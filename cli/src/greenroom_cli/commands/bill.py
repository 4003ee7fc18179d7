"""`greenroom bill`: the bills of a session or a user."""

from typing import Annotated

import typer

from contracts.api import SessionBill, UserBill
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import show_answer
from greenroom_cli.commands.options import STATE, AsJson, State, Url
from greenroom_cli.console import say, table
from greenroom_cli.errors import CommandError


def bill(
    session: Annotated[str | None, typer.Argument(help="The session's id.")] = None,
    user: Annotated[str | None, typer.Option(help="All bills of this user.")] = None,
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Show the bill of a session, or of all sessions of a user."""
    if (session is None) == (user is None):
        raise CommandError(
            "name a session or a user, one of the two", "greenroom bill SESSION, or greenroom bill --user USER"
        )
    if session is not None:
        of = options.as_id("SESSION", session)
        show_answer(lambda gateway: gateway.session_bill(of), url, state, _show_session, as_json=as_json)
    else:
        of = options.as_typed("--user", user or "")
        show_answer(lambda gateway: gateway.user_bill(of), url, state, _show_user, as_json=as_json)


def _show_session(bill: SessionBill) -> None:
    say(f"{bill.session_id}: {bill.minutes} minute(s) for {bill.seconds} s, {bill.credits} credit(s), {bill.user_id}")
    say(f"{bill.outcome}: {bill.reason}, settled {bill.settled_at:%Y-%m-%d %H:%M:%S %Z}")
    table(
        ("epoch", "node", "served ms", "fault ms", "billable ms"),
        ((epoch.epoch, epoch.node_id, epoch.served_ms, epoch.fault_ms, epoch.billable_ms) for epoch in bill.epochs),
    )
    table(
        ("entry", "credits", "seconds", "minutes", "at", "note"),
        (
            (entry.kind, entry.credits, entry.seconds, entry.minutes, f"{entry.at:%H:%M:%S}", entry.note)
            for entry in bill.entries
        ),
    )


def _show_user(bill: UserBill) -> None:
    say(f"{bill.user_id}: {bill.sessions} session(s), {bill.minutes} minute(s), {bill.credits} credit(s)")
    table(
        ("session", "outcome", "seconds", "minutes", "settled"),
        (
            (item.session_id, item.outcome, item.seconds, item.minutes, f"{item.settled_at:%Y-%m-%d %H:%M}")
            for item in bill.items
        ),
    )
