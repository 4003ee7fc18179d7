"""A lease: at most one holder, who knows by its own clock when it has lost it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from contracts.registry import Leader
from pydantic import ValidationError

from chassis import logs
from chassis.nats.errors import BusUnavailable, KeyChanged, KeyExists
from chassis.nats.kv.bucket import Bucket, Entry

_MARGIN: Final = 0.1  # share of the TTL by which the holder gives up before the server does
_TAKE_S: Final = 0.5  # how often a stand-by looks
_HANDOVER_S: Final = 10.0  # how long `on_lost` may take
_AFTER_A_BUG_S: Final = 2.0
_STALE_TTLS: Final = 2  # by then its holder has given it up, by the holder's own clock
_SHORTEST_S: Final = 0.05
_RETRY_S: Final = 0.2  # after a renewal that failed, as long as the lease is held

log = logs.get_logger(__name__)


def asleep_or_not_s() -> float:
    """Seconds of a clock that also goes on while the machine is suspended; the monotonic one stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The right to a role, kept under `key` of a bucket with TTLs.

    A hold that has lapsed never revives, whatever the server says later: its holder has dropped work meanwhile, which
    only a new term picks up.

    Args:
        holder: This process's own name, of no other process, past or present.
        ttl_s: Whole seconds; the longest time without any holder after a crash is this and a little.
        clock: Seconds that also go by while the machine is suspended.
    """

    def __init__(
        self, bucket: Bucket, key: str, holder: str, ttl_s: int, *, clock: Callable[[], float] = asleep_or_not_s
    ) -> None:
        self.key = key
        self.holder = holder
        self.ttl_s = max(1, ttl_s)
        self._bucket = bucket
        self._clock = clock
        self._value = Leader(holder=holder).model_dump_json().encode()
        self._revision = 0
        self._term = 0
        self._gains = 0
        self._held_until = -math.inf
        self._unrenewed: tuple[int, float] = (0, 0.0)  # another's revision, and since when we see it

    @property
    def is_held(self) -> bool:
        """Whether no other process can have it now; by our own clock, so also right after a freeze or a suspend."""
        return self._clock() < self._held_until

    @property
    def revision(self) -> int:
        """Grows with each holder and renewal: what a later holder writes is newer."""
        return self._revision

    @property
    def term(self) -> int:
        """The revision at which the present hold, or the last one, began: a later holder's is greater."""
        return self._term

    @property
    def gains(self) -> int:
        """How often this process gained it."""
        return self._gains

    async def outbid(self, term: int) -> bool:
        """Raise the term above one that others have heard, if the server confirms that we hold the lease.

        The bucket counts from 1 after its store was lost, so the rightful holder's term may be below older ones.
        """
        if not self.is_held or not await self.renew():
            return False
        self._term = max(self._term, term + 1)
        return True

    async def acquire(self) -> bool:
        """Take the lease if it is free (or ours from before); False when another holds it or NATS is away."""
        self._held_until = -math.inf
        asked = self._clock()
        try:
            revision = await self._bucket.create(self.key, self._value, ttl_s=self.ttl_s, deadline_s=self._attempt_s)
        except KeyExists:
            return await self._adopt()
        except BusUnavailable:
            return False
        self._gain(revision, asked)
        return True

    async def renew(self) -> bool:
        """Restart the TTL; False when it is lost, or could not be reached (then `is_held` says for how long yet)."""
        if not self.is_held:
            return False
        asked = self._clock()
        left_s = max(_SHORTEST_S, min(self._attempt_s, self._held_until - asked))
        try:
            revision = await self._bucket.update(
                self.key, self._value, self._revision, ttl_s=self.ttl_s, deadline_s=left_s
            )
        except KeyChanged:
            return await self._adopt()
        except BusUnavailable:
            return False
        return self._prolong(revision, asked)

    async def release(self) -> None:
        """Give it back, so that the next holder need not wait for the TTL."""
        if self._revision == 0:
            return
        self._held_until = -math.inf
        with suppress(KeyChanged, BusUnavailable):
            await self._bucket.delete(self.key, self._revision, deadline_s=self._attempt_s)
        self._revision = 0

    async def run(self, on_gained: Callable[[], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]) -> None:
        """Seek the lease and keep it, for ever; a cancellation gives it back.

        `on_gained` runs as a task beside the renewals, as long as it likes; when the lease is lost it is cancelled,
        then `on_lost` is awaited (10 s at most), each time. An `on_gained` that fails gives the lease back.
        """
        while True:
            if not await self.acquire():
                await asyncio.sleep(min(_TAKE_S, self.ttl_s / 4))
                continue
            log.info("lease.gained", key=self.key, holder=self.holder, term=self._term)
            try:
                failed = await self._lead(on_gained)
            finally:
                await self._hand_over(on_lost)
            if failed:
                await asyncio.sleep(_AFTER_A_BUG_S)

    async def _lead(self, on_gained: Callable[[], Awaitable[None]]) -> bool:
        """Keep the lease as long as it can be kept; True when `on_gained` failed."""
        leading = asyncio.ensure_future(on_gained())
        pause_s = self.ttl_s / 3
        try:
            while self.is_held:
                await self._wait(leading, min(pause_s, self._held_until - self._clock()))
                if leading.done() and not leading.cancelled() and leading.exception() is not None:
                    log.error("lease.leader_bug", key=self.key, exc_info=leading.exception())
                    return True
                pause_s = self.ttl_s / 3 if await self.renew() else _RETRY_S
            return False
        finally:
            if not leading.done():
                leading.cancel()
                await asyncio.wait({leading}, timeout=1)

    async def _wait(self, leading: asyncio.Future[None], pause_s: float) -> None:
        if leading.done():
            await asyncio.sleep(max(0.0, pause_s))
        else:
            await asyncio.wait({leading}, timeout=max(0.0, pause_s))

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
        """The key is not as we left it: ours after a lost acknowledgement, gone, or another's."""
        holds = self.is_held
        try:
            entry = await self._bucket.get(self.key, deadline_s=self._attempt_s)
        except BusUnavailable:
            return False
        asked = self._clock()
        if entry is None and holds:
            return await self._put_back()
        if entry is None or not self._is_ours(entry):
            self._held_until = -math.inf
            self._revision = 0
            if entry is None or not self._is_stale(entry, asked):
                return False
            log.error("lease.stale_taken", key=self.key, revision=entry.revision)
            holds = False
        try:
            revision = await self._bucket.update(
                self.key, self._value, entry.revision, ttl_s=self.ttl_s, deadline_s=self._attempt_s
            )
        except (KeyChanged, BusUnavailable):
            return False
        if holds:
            return self._prolong(revision, asked)
        self._gain(revision, asked)
        return True

    async def _put_back(self) -> bool:
        """Create the key again that went while we hold the lease by our own clock.

        The server counts its TTL with the wall clock: one that is set forward ends it early.
        """
        asked = self._clock()
        try:
            revision = await self._bucket.create(self.key, self._value, ttl_s=self.ttl_s, deadline_s=self._attempt_s)
        except KeyExists:
            self._held_until = -math.inf
            self._revision = 0
            return False
        except BusUnavailable:
            return False
        log.warning("lease.put_back", key=self.key, holder=self.holder)
        return self._prolong(revision, asked)

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

    def _gain(self, revision: int, asked: float) -> None:
        self._term = self._revision = revision
        self._gains += 1
        self._held_until = self._end_of(asked)

    def _prolong(self, revision: int, asked: float) -> bool:
        """Go on holding it; False when the hold lapsed before the answer came: the term ends all the same."""
        self._revision = revision
        if not self.is_held:
            return False
        self._held_until = self._end_of(asked)
        return True

    def _end_of(self, asked: float) -> float:
        # From the time of asking: the server's TTL began later, so ours ends first.
        return asked + self.ttl_s * (1 - _MARGIN)

    @property
    def _attempt_s(self) -> float:
        return max(0.3, self.ttl_s / 4)
