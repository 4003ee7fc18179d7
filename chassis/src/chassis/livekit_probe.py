"""Probes a LiveKit server: is our API key valid, do the clocks agree, does joining create rooms."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import aiohttp
import jwt

CLOCK_TOLERANCE_S: Final = 10.0
"""A larger clock difference is worth a warning. LiveKit refuses tokens from 60 s on."""
_TOKEN_TTL_S: Final = 60
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True)
class LiveKitFacts:
    """The result of one probe; None means not checked.

    Attributes:
        reachable: The server answered.
        accepts_key: The server accepts a token signed with our key.
        auto_create: Joining creates rooms, so a token re-opens the room of an ended session.
        clock_ahead_s: Seconds by which this machine's clock is ahead of LiveKit's, precise to about 1 s.
        why_not: Why the probe is incomplete; "" when it is complete.
    """

    reachable: bool = False
    accepts_key: bool | None = None
    auto_create: bool | None = None
    clock_ahead_s: float | None = None
    why_not: str = ""

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The names of the checks without a result."""
        results = {
            "the API key": self.accepts_key,
            "room.auto_create": self.auto_create,
            "the clock": self.clock_ahead_s,
        }
        return tuple(name for name, result in results.items() if result is None)

    @property
    def skew(self) -> str | None:
        """The clock difference as text; None below `CLOCK_TOLERANCE_S`."""
        if self.clock_ahead_s is None or abs(self.clock_ahead_s) < CLOCK_TOLERANCE_S:
            return None
        return skew_text(self.clock_ahead_s)


def skew_text(ahead_s: float) -> str:
    """Such as `this machine's clock is 90 s ahead of LiveKit's`."""
    return f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} LiveKit's"


async def probe(
    url: str, api_key: str, api_secret: str, *, deadline_s: float, now: Callable[[], float] = time.time
) -> LiveKitFacts:
    """Ask LiveKit's `/rtc/validate` whether a caller may join a room that does not exist. Changes nothing there.

    Args:
        url: ws, wss, http or https.
        now: This machine's clock, in Unix seconds.

    Source: livekit-server 1.13 answers 404 with `auto_create: false`, 200 with true, and 401 when it refuses the token,
    each time with a `Date`. It tolerates 60 s in the times of a token.
    """

    async def ask(session: aiohttp.ClientSession, at: float) -> LiveKitFacts:
        token = _joining(f"greenroom-probe-{uuid4().hex}", api_key, api_secret, at)
        async with session.get(f"{http_url(url)}/rtc/validate", params={"access_token": token}) as answer:
            facts = LiveKitFacts(reachable=True, clock_ahead_s=ahead(answer.headers.get("Date"), now()))
            return _judge(facts, answer.status)

    try:
        async with asyncio.timeout(deadline_s), aiohttp.ClientSession() as session:
            facts = await ask(session, now())
            if facts.accepts_key is False and facts.skew is not None:
                facts = await ask(session, now() - (facts.clock_ahead_s or 0))  # by LiveKit's own clock
            return facts
    except TimeoutError:
        return LiveKitFacts(why_not=f"no answer in {deadline_s:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return LiveKitFacts(why_not=type(error).__name__)


async def clock_ahead(
    session: aiohttp.ClientSession, url: str, *, deadline_s: float, now: Callable[[], float] = time.time
) -> float | None:
    """Seconds by which this machine's clock is ahead of the server's; None without a usable answer."""
    try:
        async with asyncio.timeout(deadline_s), session.get(http_url(url)) as answer:
            return ahead(answer.headers.get("Date"), now())
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return None


def http_url(url: str) -> str:
    """The http or https form of LiveKit's address."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.replace('ws', 'http', 1)}{separator}{rest}".rstrip("/")


def ahead(date: str | None, now: float) -> float | None:
    """Seconds by which `now` (Unix seconds) is ahead of an HTTP `Date`, which has whole seconds."""
    try:
        told: datetime | None = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return None if told is None else now - (told.timestamp() + 0.5)


def _judge(facts: LiveKitFacts, status: int) -> LiveKitFacts:
    if status == HTTPStatus.NOT_FOUND:
        return replace(facts, accepts_key=True, auto_create=False)
    if status == HTTPStatus.OK:
        return replace(facts, accepts_key=True, auto_create=True)
    if status in _REFUSED:
        return replace(facts, accepts_key=False, why_not=f"it refused the token ({status})")
    return replace(facts, why_not=f"it answered {status}")


def _joining(room: str, api_key: str, api_secret: str, now: float) -> str:
    claims = {
        "iss": api_key,
        "sub": "greenroom-probe",
        "nbf": int(now),
        "exp": int(now) + _TOKEN_TTL_S,
        "video": {"roomJoin": True, "room": room},
    }
    return jwt.encode(claims, api_secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]
