"""`greenroom sessions`: lists, shows and counts sessions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from contracts.api import SessionView, StatsReply
from contracts.api_v1 import SessionSummary
from greenroom_cli.commands import options
from greenroom_cli.commands.asking import ask, show_answer
from greenroom_cli.commands.finding import Metadata, Outcomes, Since, Statuses, Until, Users, query
from greenroom_cli.commands.options import STATE, AsJson, Session, State, Url
from greenroom_cli.commands.welcome import this_command
from greenroom_cli.console import say, say_json, table
from greenroom_cli.gateway import Gateway

HEADS: Final = ("session", "status", "user", "created (UTC)", "seconds", "minutes", "outcome", "reason")
_SPARE: Final = ("seconds", "minutes", "reason")  # on a narrow terminal
_MOST_PAGES: Final = 100  # of 2,000 sessions that the gateway looks at for each

Limit = Annotated[int, typer.Option(min=1, max=100, help="The most sessions to list.")]

app = typer.Typer(help="List sessions, show one, or count them.", invoke_without_command=True)


@app.callback(help="List sessions, show one, or count them. Without a word: list.")
@app.command("list")
def list_sessions(
    context: typer.Context,
    user: Users = None,
    status: Statuses = None,
    outcome: Outcomes = None,
    since: Since = None,
    until: Until = None,
    metadata: Metadata = None,
    limit: Limit = 20,
    url: Url = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """List sessions that meet every condition, the newest first."""
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC)
    asked = query(user=user, status=status, outcome=outcome, since=since, until=until, metadata=metadata, now=now)
    found = ask(lambda gateway: _find(gateway, asked, limit), url, state, as_json=as_json)
    if as_json:
        say_json({"items": [item.model_dump(mode="json", by_alias=True) for item in found]})
    elif not found:
        how = f"{this_command()} call{options.again(state, url)}"
        say("No such session." if asked else f"No sessions. Start one with: {how}")
    else:
        table(HEADS, (_row(item) for item in found), spare=_SPARE)


@app.command()
def show(session: Session, url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Show one session."""
    show_answer(lambda gateway: gateway.session(session), url, state, _show, as_json=as_json)


@app.command()
def stats(url: Url = None, state: State = STATE, as_json: AsJson = False) -> None:
    """Count sessions, nodes and processes, and check the gateway's dependencies."""
    show_answer(lambda gateway: gateway.stats(), url, state, _count, as_json=as_json)


def _show(view: SessionView) -> None:
    for name, value in facts(view):
        say(f"{name:<28} {value}")
    if view.erased:
        say("The words and names of this session were erased; its times and its bill stay.")


def _count(found: StatsReply) -> None:
    say(f"{found.active} active, {found.starting} starting, {found.queued} queued, of {found.max_bots} at most")
    say(f"{found.nodes} node(s), {found.processes} process(es)")
    for name, dependency in (("redis", found.redis), ("nats", found.nats), ("livekit", found.livekit)):
        say(f"{name:<8} {'ok' if dependency.ok else f'FAILED: {dependency.detail}'}")


def facts(view: SessionView) -> list[tuple[str, str]]:
    """What is known of a session, by field; without empty fields, such as the words of an erased one."""
    content = view.model_dump(mode="json", by_alias=True, exclude={"stage_ms", "erased"})
    stages = ", ".join(f"{name} {ms} ms" for name, ms in view.stage_ms.items())
    return [(name, str(value)) for name, value in {**content, "stageMs": stages}.items() if value not in (None, "")]


async def _find(gateway: Gateway, asked: Mapping[str, str | int | Sequence[str]], limit: int) -> list[SessionSummary]:
    """Follow the pages, of which one with a rare condition may be empty, until there are `limit` sessions."""
    found: list[SessionSummary] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await gateway.sessions({**asked, "limit": limit - len(found), **({"cursor": cursor} if cursor else {})})
        found += page.items
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            break
    return found


def _row(item: SessionSummary) -> tuple[object, ...]:
    return (
        *(item.session_id, item.status, item.user_name, f"{item.created_at:%Y-%m-%d %H:%M:%S}"),
        *(item.duration_seconds, item.minutes, item.outcome, item.reason),
    )
