"""The bucket `keys`: the secrets that open the words of the sessions' events."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from chassis.nats import Bus, KeyExists
from chassis.words import opened, seal
from contracts.events import SessionRequested
from contracts.registry import WordsKey
from contracts.streams import KEYS
from scheduler.adapters.nats_errors import translated
from scheduler.ports import Unavailable, WordsLost

_DEADLINE_S: Final = 2.0


class NatsWords:
    """`ports.Words`. It remembers the secrets of open sessions: NATS may lose its store, and they are written again.

    Args:
        kept_s: How long at most: another leader may see the session's end.
    """

    def __init__(self, bus: Bus, *, kept_s: float) -> None:
        self._bucket = bus.bucket(KEYS)
        self._kept_s = kept_s
        self._known: dict[str, asyncio.Future[str]] = {}

    def expect(self, requested: SessionRequested) -> None:
        if requested.sealed and requested.session_id not in self._known:
            self._keep(requested.session_id, asyncio.ensure_future(self._read(requested.session_id)))

    async def open(self, requested: SessionRequested) -> tuple[SessionRequested, str]:
        if not requested.sealed:
            return requested, ""
        self.expect(requested)
        try:
            secret = await asyncio.shield(self._known[requested.session_id])
        except (Unavailable, WordsLost):
            self.ended(requested.session_id)
            raise
        found = opened(requested, secret)
        if found.sealed:
            raise WordsLost(f"the key of the words of {requested.session_id} does not open them")
        return found, secret

    def ended(self, session_id: str) -> None:
        self._known.pop(session_id, None)

    async def write_again(self, requested: SessionRequested, secret: str) -> SessionRequested:
        secret = secret or await self._remembered(requested.session_id)
        if not secret:
            return requested
        self._keep(requested.session_id, _done(secret))
        with translated():
            try:
                key = WordsKey(secret=secret, at=datetime.now(UTC))
                await self._bucket.create(requested.session_id, key, deadline_s=_DEADLINE_S)
            except KeyExists:
                pass
        return seal(requested, secret)

    async def _read(self, session_id: str) -> str:
        with translated():
            entry = await self._bucket.get(session_id, deadline_s=_DEADLINE_S)
        if entry is None or entry.value is None or not entry.value.secret:
            raise WordsLost(f"the key of the words of {session_id} is gone")
        return entry.value.secret

    async def _remembered(self, session_id: str) -> str:
        try:
            return await self._known[session_id]
        except (KeyError, Unavailable, WordsLost):
            return ""

    def _keep(self, session_id: str, secret: asyncio.Future[str]) -> None:
        secret.add_done_callback(_seen)
        self._known[session_id] = secret
        asyncio.get_running_loop().call_later(self._kept_s, self.ended, session_id)


def _done(secret: str) -> asyncio.Future[str]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(secret)
    return done


def _seen(read: asyncio.Future[str]) -> None:
    """Mark the failure of a reading that no start waits for as seen; a later `open` reads again."""
    if not read.cancelled():
        read.exception()
