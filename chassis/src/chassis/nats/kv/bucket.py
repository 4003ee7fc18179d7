"""Key-value buckets: compare-and-set with a TTL that a renewal keeps, and a watch that does not go deaf.

Written over the bucket's stream, because nats-py's own `update` drops a key's TTL and its `watch` is deaf for 10 to
20 s after a restart of the server.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from chassis import logs
from chassis.nats.connection.retry import retried
from chassis.nats.errors import ApiError, BusUnavailable, Declined, KeyChanged, KeyExists, SequenceConflict
from chassis.nats.jetstream import read
from chassis.nats.jetstream.direct import Raw
from chassis.nats.jetstream.jetstream import JetStream
from chassis.nats.jetstream.messages import MSG_ID
from chassis.nats.jetstream.replay import Replay
from chassis.nats.jetstream.unreadable import read_value
from contracts.streams import BucketSpec, Value, stream_name

_MARKERS: Final = 100_000  # the newest ones to remember: as many as there may be slots
_OPERATION: Final = "KV-Operation"
_MARKER: Final = "Nats-Marker-Reason"
_TTL: Final = "Nats-TTL"
_KEY: Final = re.compile(r"(?=.{1,200}\Z)[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*")
_DEADLINE_S: Final = 5.0
_DELETE_MARKER_TTL_S: Final = 60  # and so the longest TTL of a value: see `delete`
_POLL_S: Final = 5.0
_SAME_MS: Final = 1  # the two ways to read a message round its time differently

log = logs.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """One key's value.

    Attributes:
        data: The stored value, not decoded.
        revision: Compare-and-set goes by it.
        stored_ms: When the server stored it, Unix ms.
    """

    spec: BucketSpec[Value]
    key: str
    data: bytes
    revision: int
    stored_ms: int

    @cached_property
    def value(self) -> Value | None:
        """The decoded value; None when it is unreadable, which is logged once per revision."""
        return self.read(self.spec.shape)

    def read(self, shape: type[M]) -> M | None:
        """The value decoded as another shape of the bucket."""
        return read_value(shape, self.spec.name, self.key, self.data, self.revision)


class ChangeKind(StrEnum):
    """What happened to a key."""

    PUT = "put"
    DELETED = "deleted"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Change(Generic[Value]):
    """What a watcher is told.

    Attributes:
        data: The stored new value, not decoded; None when the key is gone.
        revision: Of the value, or of the marker that superseded it.
    """

    spec: BucketSpec[Value]
    key: str
    kind: ChangeKind
    data: bytes | None
    revision: int

    @cached_property
    def value(self) -> Value | None:
        """The decoded value; None when the key is gone, or when it is unreadable, which is logged once per revision."""
        if self.data is None:
            return None
        return read_value(self.spec.shape, self.spec.name, self.key, self.data, self.revision)


class Bucket(Generic[Value]):
    """One bucket. Every call may raise `BusUnavailable` at its deadline."""

    def __init__(self, bus: JetStream, spec: BucketSpec[Value]) -> None:
        self.spec = spec
        self._bus = bus
        self._stream = stream_name(spec)
        self._prefix = f"$KV.{spec.name}."
        self._markers: dict[str, tuple[int, float]] = {}  # key -> (our delete marker's revision, its expiry)

    async def get(self, key: str, *, deadline_s: float = _DEADLINE_S) -> Entry[Value] | None:
        """The key's value from the stream's leader; None when it has none."""
        raw = await self._last(key, deadline_s)
        return None if raw is None else self._entry(raw)

    async def put(
        self, key: str, value: Value | bytes, *, ttl_s: int | None = None, deadline_s: float = _DEADLINE_S
    ) -> int:
        """Set the key, whether or not it has a value; bytes are stored unchanged; returns the revision.

        Args:
            ttl_s: Whole seconds until it goes; None takes the bucket's `key_ttl_s`, and without one it stays.
        """
        return await self._write(key, value, expect=None, ttl_s=ttl_s, deadline_s=deadline_s)

    async def create(
        self, key: str, value: Value | bytes, *, ttl_s: int | None = None, deadline_s: float = _DEADLINE_S
    ) -> int:
        """Set the key if it has no value.

        Raises:
            KeyExists: The key has a value.
        """
        until = time.monotonic() + deadline_s
        marker, stands_until = self._markers.pop(key, (0, 0.0))
        expect = marker if time.monotonic() < stands_until else 0
        operation = str(uuid4())
        while True:
            left = until - time.monotonic()
            try:
                return await self._write(
                    key, value, expect=expect, ttl_s=ttl_s, deadline_s=max(0.05, left), operation=operation
                )
            except KeyChanged as changed:
                raw = await self._last(key, max(0.05, left))
                if raw is not None and self._entry(raw) is not None:
                    raise KeyExists(self.spec.name, key, raw.seq) from None
                if left <= 0:
                    raise BusUnavailable(f"creating {self.spec.name}/{key}", self._bus.url) from changed
                expect = 0 if raw is None else raw.seq  # the marker that an expiry or a deletion left

    async def update(
        self,
        key: str,
        value: Value | bytes,
        revision: int,
        *,
        ttl_s: int | None = None,
        deadline_s: float = _DEADLINE_S,
    ) -> int:
        """Set the key if it is still at `revision`; its TTL starts again.

        Raises:
            KeyChanged: The key is at another revision, or gone.
        """
        return await self._write(key, value, expect=revision, ttl_s=ttl_s, deadline_s=deadline_s)

    async def delete(self, key: str, revision: int | None = None, *, deadline_s: float = _DEADLINE_S) -> None:
        """Remove the key, with a revision only if it is still at it; without one a missing key is fine.

        A server that was killed brings the value back if the marker that superseded it is gone and the value is not
        past its own TTL. So the marker outlives the value: where values carry a TTL by a longer one, else for ever, or
        until the bucket's own age, as there are few such keys.

        Raises:
            KeyChanged: It is at another revision.
        """
        headers = {_OPERATION: "PURGE", "Nats-Rollup": "sub"}
        stands_until = math.inf
        if self.spec.key_ttl_s is not None:
            headers[_TTL] = str(_DELETE_MARKER_TTL_S)
            stands_until = time.monotonic() + _DELETE_MARKER_TTL_S
        marker = await self._write(key, b"", expect=revision, ttl_s=None, deadline_s=deadline_s, extra=headers)
        self._remember(key, marker, stands_until)

    async def erase(self, key: str, revision: int, *, deadline_s: float = _DEADLINE_S) -> None:
        """Overwrite this value's bytes in the server's files; the key is then missing. Only in an `erasable` bucket.

        Erase before any new `put`: the bytes of a superseded value stay on disk.

        Raises:
            ApiError: The server refuses it.
        """

        async def attempt(left_s: float) -> None:
            doing = f"erasing {self.spec.name}/{key}"
            try:
                await self._bus.connection.ask(doing, self._bus.js.delete_msg(self._stream, revision), left_s)
            except ApiError:
                raw = await self._last(key, left_s)
                if raw is not None and raw.seq == revision:
                    raise

        await retried(attempt, deadline_s=deadline_s, final=(Declined,))

    def _remember(self, key: str, marker: int, stands_until: float) -> None:
        """Remember our marker: creating the key again names it, and asking for it would cost two requests."""
        self._markers.pop(key, None)
        self._markers[key] = marker, stands_until
        oldest = next(iter(self._markers))
        if len(self._markers) > _MARKERS or self._markers[oldest][1] < time.monotonic():
            del self._markers[oldest]

    async def all(self, *, deadline_s: float = _DEADLINE_S) -> dict[str, Entry[Value]]:
        """Every key that has a value; one sweep over the bucket, 1,000 keys in about 20 ms."""
        found = await read.latest(self._bus.connection, self._stream, f"{self._prefix}>", deadline_s=deadline_s)
        entries: dict[str, Entry[Value]] = {}
        for raw in found:
            entry = self._entry(raw)
            if entry is not None:
                entries[entry.key] = entry
            elif _TTL not in raw.headers and self.spec.ttl_s is None:
                self._remember(raw.subject.removeprefix(self._prefix), raw.seq, math.inf)
        return entries

    async def some(self, keys: Collection[str], *, deadline_s: float = _DEADLINE_S) -> dict[str, Entry[Value]]:
        """Those of these keys that have a value; 500 in about 15 ms."""
        if not keys:
            return {}
        subjects = [self._subject(key) for key in sorted(keys)]
        within = f"{self._prefix}>"
        found = await read.last_of_each(self._bus.connection, self._stream, within, subjects, deadline_s=deadline_s)
        return {entry.key: entry for raw in found if (entry := self._entry(raw)) is not None}

    async def used_ratio(self, *, deadline_s: float = _DEADLINE_S) -> float:
        """The share of the bucket's bytes that is in use, 0 to 1; 0 without a bound."""
        return (await self._bus.use_of(self.spec, deadline_s=deadline_s)).used_ratio

    async def watch(
        self,
        callback: Callable[[Change[Value]], Awaitable[None]],
        *,
        poll_s: float = _POLL_S,
        ready: asyncio.Event | None = None,
    ) -> None:
        """Tell each change, the present values first, until cancelled; one call at a time, each key's in order.

        A reader follows the bucket's stream; a poll every `poll_s` finds what left no trace there (keys of a bucket
        without markers, a server that lost its data). The callback must not raise: what it raises is logged as a bug.

        Args:
            ready: Set once the present values have been told.
        """
        await _Watch(self, callback, poll_s, ready).run()

    def reader(self) -> Replay:
        """The stream behind the bucket: the last message of each key, then what comes."""
        bus = self._bus
        return Replay(bus.connection, self._stream, [f"{self._prefix}>"], bus.unreadable.met, last_per_subject=True)

    def change(self, subject: str, data: bytes, revision: int, headers: Mapping[str, str]) -> Change[Value]:
        """Read one message of that stream."""
        key = subject.removeprefix(self._prefix)
        if headers.get(_MARKER) == "MaxAge":
            return Change(self.spec, key, ChangeKind.EXPIRED, None, revision)
        if _MARKER in headers or _OPERATION in headers:
            return Change(self.spec, key, ChangeKind.DELETED, None, revision)
        return Change(self.spec, key, ChangeKind.PUT, data, revision)

    def _entry(self, raw: Raw) -> Entry[Value] | None:
        if _MARKER in raw.headers or _OPERATION in raw.headers:
            return None
        key, stored_ms = raw.subject.removeprefix(self._prefix), round(raw.at.timestamp() * 1000)
        return Entry(self.spec, key, raw.data, raw.seq, stored_ms)

    def _subject(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key: use 1 to 200 letters, digits and - _ = / or . between")
        return f"{self._prefix}{key}"

    async def _last(self, key: str, deadline_s: float) -> Raw | None:
        return await read.last(self._bus.connection, self._stream, self._subject(key), deadline_s=deadline_s)

    async def _write(
        self,
        key: str,
        value: Value | bytes,
        *,
        expect: int | None,
        ttl_s: int | None,
        deadline_s: float,
        extra: dict[str, str] | None = None,
        operation: str | None = None,
    ) -> int:
        headers = {MSG_ID: operation or str(uuid4())} | (extra or {})
        ttl = ttl_s if ttl_s is not None else self.spec.key_ttl_s
        if ttl is not None and extra is None:
            if ttl > _DELETE_MARKER_TTL_S:
                raise ValueError(
                    f"a TTL of {ttl} s: up to {_DELETE_MARKER_TTL_S} s, so that a marker outlives the value"
                )
            headers[_TTL] = str(max(1, ttl))
        try:
            done = await self._bus.publish_raw(
                self._subject(key),
                value if isinstance(value, bytes) else value.model_dump_json().encode(),
                stream=self._stream,
                headers=headers,
                expect_last=expect,
                deadline_s=deadline_s,
            )
        except SequenceConflict as conflict:
            raise KeyChanged(self.spec.name, key, conflict.last_seq) from conflict
        return done.seq


class _Watch(Generic[Value]):
    """One watcher: it remembers what it told last about each live key, so that it tells changes only."""

    def __init__(
        self,
        bucket: Bucket[Value],
        callback: Callable[[Change[Value]], Awaitable[None]],
        poll_s: float,
        ready: asyncio.Event | None,
    ) -> None:
        self._bucket = bucket
        self._callback = callback
        self._poll_s = poll_s
        self._ready = ready
        # Key -> revision and time: in a bucket that was made again, revisions start at 1.
        self._told: dict[str, tuple[int, int]] = {}
        self._turn = asyncio.Lock()
        self._followed: set[str] = set()  # keys told by the reader during the present poll, which may have older values

    async def run(self) -> None:
        reader = self._bucket.reader()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(reader))
            tasks.create_task(self._poll())
            if self._ready is not None:
                await reader.caught_up.wait()
                self._ready.set()

    async def _follow(self, reader: Replay) -> None:
        async for message in reader:
            change = self._bucket.change(message.subject, message.data, message.seq, message.headers)
            async with self._turn:
                revision, at_ms = self._told.get(change.key, (0, 0))
                if message.seq > revision or message.stored_ms > at_ms + _SAME_MS:
                    self._followed.add(change.key)
                    await self._tell(change, message.stored_ms)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            async with self._turn:
                self._followed.clear()
            try:
                present = await self._bucket.all()  # out of turn: it may take seconds, and the reader goes on
                async with self._turn:
                    await self._compare(present)
            except BusUnavailable as error:
                log.warning("bucket.poll_failed", bucket=self._bucket.spec.name, error=error)

    async def _compare(self, present: dict[str, Entry[Value]]) -> None:
        """Tell what the reader missed; the next poll compares the keys that the reader told during this one."""
        for key, (revision, at_ms) in list(self._told.items()):
            if key not in present and key not in self._followed:
                await self._tell(Change(self._bucket.spec, key, ChangeKind.EXPIRED, None, revision), at_ms)
        for entry in sorted(present.values(), key=lambda e: e.revision):
            if entry.key in self._followed:
                continue
            revision, at_ms = self._told.get(entry.key, (0, 0))
            if entry.revision != revision or abs(entry.stored_ms - at_ms) > _SAME_MS:
                change = Change(self._bucket.spec, entry.key, ChangeKind.PUT, entry.data, entry.revision)
                await self._tell(change, entry.stored_ms)

    async def _tell(self, change: Change[Value], at_ms: int) -> None:
        if change.data is not None:
            self._told[change.key] = (change.revision, at_ms)
        elif self._told.pop(change.key, None) is None:
            return  # the end of a key that was never told
        try:
            await self._callback(change)
        except Exception:
            log.exception("bucket.watcher_bug", bucket=self._bucket.spec.name)
