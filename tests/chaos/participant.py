"""The test's side of a caller's process: orders, and what it reported."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from livekit import api

from tests.chaos.news import T, announced

ROOT = Path(__file__).parents[2]
AGENT = "agent:"
READY_S = 30.0
LEAVE_S = 10.0


@dataclass(frozen=True)
class Report:
    """What a caller's process said; see `caller.py`."""

    kind: str
    at: float
    who: str
    sid: str
    detail: str


@dataclass(frozen=True)
class Sound:
    """A stretch of sound on one track; `until` is None while it lasts."""

    who: str
    track: str
    since: float
    until: float | None


@dataclass(frozen=True)
class Span:
    """A stretch of time on the monotonic clock, seconds."""

    since: float
    until: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.until - self.since)


class Participant:
    """A participant in its own process. `async with` starts it, and ends it however the test ends."""

    def __init__(self, log: Path) -> None:
        self.reports: list[Report] = []
        self._log = log
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.caller"),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self._reading = asyncio.create_task(self._read())
        await self.report("ready", deadline_s=READY_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        process, reading = self._process, self._reading
        assert process is not None
        assert process.stdin is not None
        assert reading is not None
        if process.returncode is None:
            process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await process.wait()
        self.kill()
        await process.wait()
        await reading

    async def join(self, url: str, token: str) -> Report:
        """Enter a room; an earlier stay must be over."""
        since = self.begin_joining(url, token)
        return await self.report("joined", after=since, deadline_s=20)

    def begin_joining(self, url: str, token: str) -> float:
        """Try to enter a room; returns when."""
        self._order({"do": "join", "url": url, "token": token})
        return time.monotonic()

    async def say(self, wav: Path) -> Report:
        """Speak; returns when the last sound has left."""
        since = time.monotonic()
        self.begin_saying(wav)
        return await self.report("said", after=since, deadline_s=30)

    def begin_saying(self, wav: Path) -> None:
        self._order({"do": "say", "wav": str(wav)})

    async def leave(self) -> Report:
        since = time.monotonic()
        self._order({"do": "leave"})
        return await self.report("left", after=since, deadline_s=LEAVE_S)

    def kill(self) -> float:
        """kill -9, as a phone whose battery is empty; returns when."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        return time.monotonic()

    async def report(self, kind: str, *, after: float = 0.0, deadline_s: float, who: str = "") -> Report:
        """The first report of a kind after a moment, waited for.

        Args:
            who: How the identity begins that the report is about.
        """
        return await self.until(
            lambda: next((r for r in self.reports if r.kind == kind and r.at >= after and r.who.startswith(who)), None),
            deadline_s,
            f"{kind} {who}".strip(),
        )

    async def heard(self, *, after: float = 0.0, deadline_s: float) -> Report:
        """The first sound of an agent that began after a moment."""
        return await self.report("sound", after=after, who=AGENT, deadline_s=deadline_s)

    async def answered(self, *, after: float, deadline_s: float) -> Sound:
        """The first stretch of the agent's sound that began after a moment, once it has ended."""
        return await self.until(
            lambda: next((s for s in self.sounds if s.since >= after and s.until is not None), None),
            deadline_s,
            "an answer",
        )

    async def until(self, found: Callable[[], T | None], deadline_s: float, what: str) -> T:
        """Wait for something among the reports."""

        def check() -> None:
            if self._reading is None or self._reading.done():
                raise AssertionError(f"no {what}: the caller's process is gone\n{self.evidence()}")

        return await announced(self._news, found, deadline_s, what, evidence=self.evidence, check=check)

    @property
    def sounds(self) -> list[Sound]:
        """What was heard, in the order in which it began."""
        found: list[Sound] = []
        for report in self.reports:
            if report.kind == "sound":
                found.append(Sound(report.who, report.sid, report.at, None))
            elif report.kind == "quiet":
                index = max(i for i, s in enumerate(found) if s.track == report.sid)
                found[index] = Sound(report.who, report.sid, found[index].since, report.at)
        return found

    def served_s(self, until: float, *deaths: float) -> float:
        """Seconds in which an agent and this participant were both in the room, as this participant saw it.

        Args:
            until: Nothing counts after this moment.
            deaths: When agents were killed: LiveKit notices that 20 s late, or when the next one comes.
        """
        agents = [_cut(span, until, deaths) for span in self._spans("other_joined", ("other_left",), AGENT, until)]
        stays = self._spans("joined", ("left", "closed"), "", until)
        return sum(Span(max(a.since, s.since), min(a.until, s.until)).seconds for a in agents for s in stays)

    def _spans(self, begin: str, ends: tuple[str, ...], who: str, until: float) -> list[Span]:
        """From each report of one kind to the next of the others, or to `until`."""
        spans: list[Span] = []
        since: float | None = None
        for report in sorted((r for r in self.reports if r.who.startswith(who)), key=lambda r: r.at):
            if report.kind == begin and since is None:
                since = report.at
            elif report.kind in ends and since is not None:
                spans.append(Span(since, report.at))
                since = None
        return [*spans, *([] if since is None else [Span(since, until)])]

    def evidence(self) -> str:
        """The reports, for an assertion's message."""
        lines = (f"  {r.at:.3f} {r.kind} {r.who} {r.sid} {r.detail}".rstrip() for r in self.reports)
        return "\n".join(("the caller reported:", *lines))

    def _order(self, order: dict[str, str]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.reports.append(Report(**json.loads(line)))
            async with self._news:
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


def _cut(span: Span, until: float, deaths: tuple[float, ...]) -> Span:
    return Span(span.since, min([until, span.until, *(at for at in deaths if span.since < at < span.until)]))


def agent_token(environment: Mapping[str, str], session_id: str) -> str:
    """A token that opens the session's room under the agent's identity, as a second agent would have it."""
    token = api.AccessToken(environment["LIVEKIT_API_KEY"], environment["LIVEKIT_API_SECRET"])
    grants = api.VideoGrants(room_join=True, room=session_id)
    return token.with_identity(f"{AGENT}{session_id}").with_grants(grants).to_jwt()
