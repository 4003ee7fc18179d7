"""A lease: at most one holder, who knows by its own clock when it has lost it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from contracts.registry import Leader
from pydantic import ValidationError

from chassis import logs
from chassis.nats import Bucket, BusUnavailable, Entry, KeyChanged, KeyExists

_MARGIN: Final = 0.1  # share of the TTL by which the holder gives up before the server does
_TAKE_S: Final = 0.5  # how often a stand-by looks
_HANDOVER_S: Final = 10.0  # how long `on_lost` may take
_AFTER_A_BUG_S: Final = 2.0
_STALE_TTLS: Final = 2  # by then its holder has given it up, by the holder's own clock

log = logs.get_logger(__name__)


class Lease:
    """The right to a role, kept under `key` of a bucket with TTLs.

    Args:
        holder: This process's own name, of no other process, past or present.
        ttl_s: Whole seconds; the longest time without any holder after a crash is this and a little.
    """

    def __init__(self, bucket: Bucket, key: str, holder: str, ttl_s: int) -> None:
        self.key = key
        self.holder = holder
        self.ttl_s = max(1, ttl_s)
        self._bucket = bucket
        self._value = Leader(holder=holder).model_dump_json().encode()
        self._revision = 0
        self._held_until = 0.0
        self._unrenewed: tuple[int, float] = (0, 0.0)  # another's revision, and since when we see it

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have it now; by the monotonic clock, so also right after a long freeze."""
        return time.monotonic() < self._held_until

    @property
    def revision(self) -> int:
        """Grows with each holder and renewal: what a later holder writes is newer."""
        return self._revision

    async def acquire(self) -> bool:
        """Take the lease if it is free (or ours from before); False when somebody holds it or NATS is away."""
        asked = time.monotonic()
        try:
            revision = await self._bucket.create(self.key, self._value, ttl_s=self.ttl_s, deadline_s=self._attempt_s)
        except KeyExists:
            return await self._adopt()
        except BusUnavailable:
            return False
        self._hold(revision, asked)
        return True

    async def renew(self) -> bool:
        """Begin the TTL anew; False when it is lost, or could not be reached (then `is_held` says for how long yet)."""
        asked = time.monotonic()
        try:
            revision = await self._bucket.update(
                self.key, self._value, self._revision, ttl_s=self.ttl_s, deadline_s=self._attempt_s
            )
        except KeyChanged:
            return await self._adopt()
        except BusUnavailable:
            return False
        self._hold(revision, asked)
        return True

    async def release(self) -> None:
        """Give it back, so that the next holder need not wait for the TTL."""
        if self._revision == 0:
            return
        self._held_until = 0.0
        with suppress(KeyChanged, BusUnavailable):
            await self._bucket.delete(self.key, self._revision, deadline_s=self._attempt_s)
        self._revision = 0

    async def run(self, on_gained: Callable[[], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]) -> None:
        """Seek the lease and keep it, for ever; a cancellation gives it back.

        `on_gained` runs as a task beside the renewals, as long as it likes; when the lease is lost it is cancelled,
        then `on_lost` is awaited (10 s at most). Both are called anew each time. An `on_gained` that fails gives the
        lease back.
        """
        while True:
            if not await self.acquire():
                await asyncio.sleep(min(_TAKE_S, self.ttl_s / 4))
                continue
            log.info("lease.gained", key=self.key, holder=self.holder)
            try:
                failed = await self._lead(on_gained)
            finally:
                await self._hand_over(on_lost)
            if failed:
                await asyncio.sleep(_AFTER_A_BUG_S)

    async def _lead(self, on_gained: Callable[[], Awaitable[None]]) -> bool:
        """Keep the lease as long as it can be kept; True when `on_gained` failed."""
        leading = asyncio.ensure_future(on_gained())
        try:
            while self.is_held:
                pause_s = max(0.0, min(self.ttl_s / 3, self._held_until - time.monotonic()))
                pending = {leading} if not leading.done() else set[asyncio.Future[None]]()
                if pending:
                    await asyncio.wait(pending, timeout=pause_s)
                else:
                    await asyncio.sleep(pause_s)
                if leading.done() and not leading.cancelled() and leading.exception() is not None:
                    log.error("lease.leader_bug", key=self.key, exc_info=leading.exception())
                    return True
                if not self.is_held:
                    break
                if not await self.renew():
                    await asyncio.sleep(min(0.1, max(0.0, self._held_until - time.monotonic())))
            return False
        finally:
            if not leading.done():
                leading.cancel()
                await asyncio.wait({leading}, timeout=1)

    async def _hand_over(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        log.warning("lease.lost", key=self.key, holder=self.holder)
        try:
            async with asyncio.timeout(_HANDOVER_S):
                await on_lost()
        except Exception:
            log.exception("lease.on_lost_bug", key=self.key)
        finally:
            await self.release()

    async def _adopt(self) -> bool:
        """The key is not as we left it: ours after a lost acknowledgement, or somebody else's."""
        try:
            entry = await self._bucket.get(self.key, deadline_s=self._attempt_s)
        except BusUnavailable:
            return False
        asked = time.monotonic()
        if entry is None or not self._is_ours(entry):
            self._held_until = 0.0
            self._revision = 0
            if entry is None or not self._is_stale(entry, asked):
                return False
            log.error("lease.stale_taken", key=self.key, revision=entry.revision)
        try:
            revision = await self._bucket.update(
                self.key, self._value, entry.revision, ttl_s=self.ttl_s, deadline_s=self._attempt_s
            )
        except (KeyChanged, BusUnavailable):
            return False
        self._hold(revision, asked)
        return True

    def _is_stale(self, entry: Entry, now: float) -> bool:
        """Whether nothing renewed the key for two TTLs; without an expiry it would block the role for ever."""
        revision, since = self._unrenewed
        if entry.revision != revision:
            self._unrenewed = entry.revision, now
            return False
        return now - since >= _STALE_TTLS * self.ttl_s

    def _is_ours(self, entry: Entry) -> bool:
        try:
            return Leader.model_validate_json(entry.value).holder == self.holder
        except ValidationError:
            return False

    def _hold(self, revision: int, asked: float) -> None:
        self._revision = revision
        # From the time of asking: the server's TTL began later, so ours ends first.
        self._held_until = asked + self.ttl_s * (1 - _MARGIN)

    @property
    def _attempt_s(self) -> float:
        return max(0.3, self.ttl_s / 4)
