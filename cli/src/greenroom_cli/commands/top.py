"""`greenroom top`: the running sessions and the nodes, drawn again each second."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.text import Text

from chassis.tasks import first_of
from contracts.api import PoolStats, StatsReply
from contracts.api_v1 import SessionSummary
from contracts.errors import FORBIDDEN
from greenroom_cli.commands import options
from greenroom_cli.commands.finding import Statuses, Users, latency, query, since
from greenroom_cli.commands.options import STATE, State, Url
from greenroom_cli.commands.welcome import this_command
from greenroom_cli.console import is_terminal, live, made_table, printable_here, say, table
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway, GatewayRefused
from greenroom_cli.runner import Stopped, run
from greenroom_cli.settings import Settings

_OPEN: Final = ("requested", "queued", "starting", "ready", "active")
_HEADS: Final = ("session", "status", "node", "user", "age", "minutes", "turns", "last answer", "take-overs")
_SPARE: Final = ("take-overs", "turns", "minutes", "user", "node")  # on a narrow terminal
_MOST: Final = 100
_SORTS: Final[dict[str, Callable[[SessionSummary], float | str]]] = {
    "age": lambda one: -one.created_at.timestamp(),
    "latency": lambda one: -(one.last_turn.latency_ms or 0) if one.last_turn else 0,
    "minutes": lambda one: -(one.duration_seconds or 0),
    "user": lambda one: one.user_name.lower(),
    "node": lambda one: one.node_id or "",
    "status": lambda one: one.status,
}
_CTRL_D: Final = "\x04"
_MOST_KEYS: Final = 64  # of one read
_KEYS: Final = "keys: s sorts by the next column, r reverses, a shows ended sessions too, q quits"


@dataclass
class _View:
    """What the user chose, and what the key may read."""

    sort: str
    statuses: Sequence[str]
    user: str | None
    is_reversed: bool = False
    shows_ended: bool = False
    may_read_stats: bool = True
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def press(self, key: str) -> None:
        if key == "s":
            names = [*_SORTS]
            self.sort = names[(names.index(self.sort) + 1) % len(names)]
        elif key == "r":
            self.is_reversed = not self.is_reversed
        elif key == "a":
            self.shows_ended = not self.shows_ended
        elif key in ("q", _CTRL_D):
            self.ended.set()
        self.changed.set()

    @property
    def asked(self) -> dict[str, str | int | Sequence[str]]:
        statuses = self.statuses or (() if self.shows_ended else _OPEN)
        return {**query(user=self.user, status=statuses, now=datetime.now(UTC)), "limit": _MOST}

    def sorted(self, sessions: Sequence[SessionSummary]) -> list[SessionSummary]:
        return sorted(sessions, key=_SORTS[self.sort], reverse=self.is_reversed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Seen:
    """One look; `stats` is None for a key that may not read them."""

    stats: StatsReply | None
    sessions: Sequence[SessionSummary]
    at: datetime


def top(
    sort: Annotated[str, typer.Option(help=f"The column to sort by: {', '.join(_SORTS)}.")] = "age",
    user: Users = None,
    status: Statuses = None,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print the table once; so it does without a terminal.")] = False,
    url: Url = None,
    state: State = STATE,
) -> None:
    """Watch the running sessions and the nodes; at most 100 sessions, the newest.

    A key with the scope `sessions` shows the sessions, one with `admin` also the totals and the nodes.
    """
    if sort not in _SORTS:
        raise CommandError(
            f"--sort {options.as_typed('--sort', sort)!r} is invalid", f"it is one of {', '.join(_SORTS)}"
        )
    view = _View(sort, tuple(status or ()), user)
    _ = view.asked  # refuses invalid options before anything is drawn
    settings = options.settings(state, url)
    if once or not is_terminal():
        how = f"{this_command()} call{options.again(state, url)}"
        _print(view, run(_look_once(settings, view)), settings.greenroom_url, how)
        return
    try:
        run(_watch(settings, view, every))
    except Stopped as stopped:
        if stopped.exit_code != _CTRL_C:
            raise


_CTRL_C: Final = 130  # how most users leave: no error


async def _look_once(settings: Settings, view: _View) -> _Seen:
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        return await _look(gateway, view)


async def _look(gateway: Gateway, view: _View) -> _Seen:
    stats, page = await asyncio.gather(_stats(gateway, view), gateway.sessions(view.asked))
    return _Seen(stats, page.items, datetime.now(UTC))


async def _stats(gateway: Gateway, view: _View) -> StatsReply | None:
    """The totals. A key that was refused once is not shown again: the gateway logs each refusal."""
    if not view.may_read_stats:
        return None
    try:
        return await gateway.stats()
    except GatewayRefused as refused:
        if refused.code != FORBIDDEN.code:
            raise
        view.may_read_stats = False
        return None


async def _watch(settings: Settings, view: _View, every: float) -> None:
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        with _keys(view.press):
            await first_of(view.ended.wait(), _draw(gateway, view, every))


async def _draw(gateway: Gateway, view: _View, every: float) -> None:
    """Draw again and again. A gateway that does not answer is shown above the last table."""
    seen, problem = await _look(gateway, view), ""
    with live() as screen:
        while True:
            screen.update(_drawn(view, seen, problem, gateway.url), refresh=True)
            view.changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(view.changed.wait(), every)
                screen.update(_drawn(view, seen, problem, gateway.url), refresh=True)
            try:
                seen, problem = await _look(gateway, view), ""
            except CommandError as error:
                problem = str(error)


def _drawn(view: _View, seen: _Seen, problem: str, url: str) -> Group:
    heads = [*_head(seen, url), f"sorted by {view.sort}; {_KEYS}"]
    lines = [Text(printable_here(line)) for line in heads]
    if problem:
        lines.insert(0, Text(printable_here(problem), style="red"))
    return Group(*lines, made_table(_HEADS, _rows(view, seen), spare=_SPARE))


def _print(view: _View, seen: _Seen, url: str, how: str) -> None:
    for line in _head(seen, url):
        say(line)
    if seen.sessions:
        table(_HEADS, _rows(view, seen), spare=_SPARE)
    else:
        say("No such session." if view.user or view.statuses else f"No session runs. Start one with: {how}")


def _head(seen: _Seen, url: str) -> list[str]:
    stats = seen.stats
    first = f"gateway {url}, {seen.at.astimezone():%H:%M:%S}"
    if stats is None:
        return [first, "totals and nodes: GREENROOM_API_KEY lacks the scope admin"]
    warm, busy = sum(pool.warm for pool in stats.pool), sum(pool.busy for pool in stats.pool)
    draining = [_draining(pool, seen.at) for pool in stats.pool if pool.draining]
    return [
        first,
        f"{stats.active} active, {stats.starting} starting, {stats.queued} queued, of {stats.max_bots} at most; "
        f"{stats.nodes} node(s): {warm} warm, {busy} busy{', draining: ' + ', '.join(draining) if draining else ''}",
    ]


def _draining(pool: PoolStats, now: datetime) -> str:
    return f"{pool.node_id} for {since(pool.drain_since, now)}" if pool.drain_since else pool.node_id


def _rows(view: _View, seen: _Seen) -> Generator[tuple[object, ...]]:
    for one in view.sorted(seen.sessions):
        so_far = one.minutes if one.minutes is not None else -(-(one.duration_seconds or 0) // 60)
        yield (
            *(one.session_id, one.status, one.node_id, one.user_name, since(one.created_at, seen.at)),
            *(so_far, one.turns, latency(one), one.takeovers or None),
        )


@contextmanager
def _keys(press: Callable[[str], None]) -> Generator[None]:
    """Hear single keys of the terminal, without echo; none unless stdin is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()
    tty.setcbreak(number)

    def read() -> None:
        for key in os.read(number, _MOST_KEYS).decode(errors="replace") or _CTRL_D:
            press(key)

    loop.add_reader(number, read)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
