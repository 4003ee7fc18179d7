"""The bucket `keys`: the secrets that open the words of the sessions' events."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

from chassis import metrics
from chassis.nats import Bus, KeyExists, StreamFull
from chassis.words import new_secret, opened
from contracts.errors import KEYS_FULL, Refused
from contracts.events import Event
from contracts.registry import WordsKey
from contracts.streams import KEYS
from gateway.adapters.bucket_use import measure
from gateway.adapters.nats_errors import translated
from gateway.ports import NatsUnavailable, SessionIdTaken

_RETRY_AFTER_S: Final = 60
_TRIES: Final = 3  # another gateway may erase the key too, and a lost key may be written again

_USED = metrics.gauge("gateway_words_keys_used_ratio", "Share of KEYS_MAX_MB in use")
_FULL = metrics.counter("gateway_words_keys_refused_total", "Starts that were refused at KEYS_MAX_MB")

E = TypeVar("E", bound=Event)


class NatsWords:
    """`ports.Words`, and opening what the log holds.

    No key is kept in memory: another gateway may erase it at any time.

    Args:
        seals: Whether a start's words are sealed now.
    """

    def __init__(self, bus: Bus, *, seals: Callable[[], bool], now: Callable[[], datetime], deadline_s: float) -> None:
        self._bucket = bus.bucket(KEYS)
        self._seals = seals
        self._now = now
        self._deadline_s = deadline_s

    async def secret_for(self, session_id: str) -> str:
        if not self._seals():
            return ""
        key = WordsKey(secret=new_secret(), at=self._now())
        with translated():
            try:
                await self._bucket.create(session_id, key, deadline_s=self._deadline_s)
            except KeyExists:
                return await self._first_secret(session_id)
            except StreamFull as error:
                _FULL.inc()
                raise Refused(
                    KEYS_FULL,
                    "NATS has no space for the key of another session's words (KEYS_MAX_MB).",
                    retry_after_s=_RETRY_AFTER_S,
                    session_id=session_id,
                ) from error
        return key.secret

    async def erase(self, session_id: str) -> None:
        with translated():
            for _ in range(_TRIES):
                entry = await self._bucket.get(session_id, deadline_s=self._deadline_s)
                if entry is not None:
                    if entry.value is not None and not entry.value.secret:
                        return
                    await self._bucket.erase(session_id, entry.revision, deadline_s=self._deadline_s)
                with suppress(KeyExists):
                    await self._reserve(session_id)
                    return
        raise NatsUnavailable("The key of the session's words changes too fast; repeat the request.")

    async def _reserve(self, session_id: str) -> None:
        """Store an empty secret, so that this session id gets no new one; a full bucket refuses new ones anyway."""
        with suppress(StreamFull):
            await self._bucket.create(session_id, WordsKey(at=self._now()), deadline_s=self._deadline_s)

    async def open_all(self, events: Sequence[E]) -> list[E]:
        """The events with their words, as far as their sessions' keys exist; reads each key once.

        Raises:
            BusUnavailable: NATS did not answer.
        """
        sealed = {event.session_id for event in events if getattr(event, "sealed", "")}
        keys = await self._bucket.some(sealed, deadline_s=self._deadline_s)
        secrets = {session_id: entry.value.secret for session_id, entry in keys.items() if entry.value is not None}
        return [opened(event, secrets.get(event.session_id)) for event in events]

    async def open(self, event: E) -> E:
        """The event with its words, as far as its session's key exists; raises `BusUnavailable`."""
        if not getattr(event, "sealed", ""):
            return event
        entry = await self._bucket.get(event.session_id, deadline_s=self._deadline_s)
        return event if entry is None or entry.value is None else opened(event, entry.value.secret)

    async def measure(self) -> None:
        await measure(self._bucket, _USED.set, deadline_s=self._deadline_s)

    async def _first_secret(self, session_id: str) -> str:
        """The secret of an earlier attempt of this start, or of another start with the same session id."""
        entry = await self._bucket.get(session_id, deadline_s=self._deadline_s)
        if entry is None:
            raise NatsUnavailable("The key of the session's words expired while it was read; repeat the request.")
        if entry.value is None or not entry.value.secret:  # the key is unreadable, or the words are erased
            raise SessionIdTaken
        return entry.value.secret
