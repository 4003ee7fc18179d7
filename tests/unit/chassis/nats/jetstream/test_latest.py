"""Reading a bucket whose keys are renewed without a pause, and a watcher that polls it: on a simulated stream."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chassis.nats import Bucket, Bus, Change, ChangeKind, Entry
from chassis.nats.jetstream import read
from chassis.nats.jetstream.direct import Page, Raw
from chassis.nats.jetstream.messages import Stored
from chassis.nats.jetstream.replay import Replay
from contracts.registry import NodeState
from contracts.streams import NODES
from tests.support.waiting import until

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = frozenset(f"n{n}" for n in range(40))
PAGE = 7
MOST_REQUESTS = 3_000


class Renewed:
    """A stream with one message a key, on replicas that follow its leader; keys are renewed at each request."""

    def __init__(self, seed: int, *, lags: tuple[int, ...], renewals: int) -> None:
        self.requests = 0
        self._chance = random.Random(seed)
        self._written = sorted(KEYS)  # the key of each sequence
        self._lags = lags
        self._known = [len(KEYS)] * len(lags)
        self._renewals = renewals

    async def page(self, _connection: object, _stream: str, ask: Mapping[str, object]) -> Page:
        self._pass()
        answers = self._chance.randrange(len(self._lags))
        behind = self._chance.randint(0, self._lags[answers])
        self._known[answers] = max(self._known[answers], len(self._written) - behind)
        newest = {key: seq for seq, key in enumerate(self._written[: self._known[answers]], 1)}
        left = sorted((seq, key) for key, seq in newest.items() if seq >= cast("int", ask["seq"]))
        return Page([Raw(key, b"", seq, AT, {}) for seq, key in left[:PAGE]], max(0, len(left) - PAGE))

    async def last(self, *_: object, **__: object) -> Raw:
        self._pass()
        return Raw(self._written[-1], b"", len(self._written), AT, {})

    def _pass(self) -> None:
        self.requests += 1
        assert self.requests < MOST_REQUESTS, "the reading does not end"
        self._written += self._chance.choices(sorted(KEYS), k=self._chance.randint(1, self._renewals))


async def sweep(stream: Renewed, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(read, "page", stream.page)
    monkeypatch.setattr(read, "last", stream.last)
    monkeypatch.setattr(read, "_BEHIND_S", 0)
    connection: Any = SimpleNamespace(asking=lambda *_: nullcontext())
    found = await read.latest(connection, "KV_nodes", ">", deadline_s=60)
    return {raw.subject for raw in found}


@pytest.mark.parametrize("lags", [(0,), (0, 5, 40)], ids=["one server", "replicas that are behind"])
async def test_a_bucket_is_read_whole_although_keys_are_renewed_between_any_two_requests(
    lags: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(500):
        assert await sweep(Renewed(seed, lags=lags, renewals=6), monkeypatch) == KEYS, seed


class Follower:
    """The stream behind a bucket, told by the test."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.coming: asyncio.Queue[Stored] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Stored]:
        while True:
            yield await self.coming.get()

    def put(self, key: str, seq: int, headers: dict[str, str] | None = None) -> None:
        self.coming.put_nowait(
            Stored(f"$KV.{NODES.name}.{key}", None, str(seq).encode(), seq=seq, stored_ms=seq, headers=headers or {})
        )


def entries(*keys: str) -> list[Entry[NodeState]]:
    return [Entry(NODES, key, b"", seq, seq) for seq, key in enumerate(keys, 1)]


class SlowBucket(Bucket[NodeState]):
    """A bucket with three keys; the first poll after `is_slow` lasts as long as the test wants."""

    def __init__(self) -> None:
        super().__init__(cast("Bus", None), NODES)
        self.follower = Follower()
        self.is_slow = False
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[dict[str, Entry[NodeState]]] = asyncio.get_running_loop().create_future()

    def reader(self) -> Replay:
        return cast("Replay", self.follower)

    async def all(self, *, deadline_s: float = 5) -> dict[str, Entry[NodeState]]:
        del deadline_s
        if not self.is_slow:
            return {entry.key: entry for entry in entries("renewed", "deleted", "gone")}
        if self.asked.is_set():
            await asyncio.Event().wait()
        self.asked.set()
        return await self.answer


async def test_a_watcher_goes_on_during_a_slow_poll_and_is_told_nothing_older_by_it() -> None:
    bucket, told = SlowBucket(), list[tuple[str, ChangeKind, int]]()

    async def see(change: Change[NodeState]) -> None:
        told.append((change.key, change.kind, change.revision))

    watching = asyncio.create_task(bucket.watch(see, poll_s=0.01))
    for entry in entries("renewed", "deleted", "gone"):
        bucket.follower.put(entry.key, entry.revision)
    await until(lambda: len(told) == 3)
    bucket.is_slow = True
    await bucket.asked.wait()

    bucket.follower.put("renewed", 5)
    bucket.follower.put("deleted", 6, {"KV-Operation": "PURGE"})
    bucket.follower.put("new", 7)
    await until(lambda: len(told) == 6)
    old = [*entries("renewed", "deleted"), Entry(NODES, "missed", b"", 4, 4)]
    bucket.answer.set_result({entry.key: entry for entry in old})
    await until(lambda: len(told) == 8)

    assert told[3:6] == [("renewed", ChangeKind.PUT, 5), ("deleted", ChangeKind.DELETED, 6), ("new", ChangeKind.PUT, 7)]
    assert told[6:] == [("gone", ChangeKind.EXPIRED, 3), ("missed", ChangeKind.PUT, 4)], "what the reader did not tell"
    watching.cancel()
    await asyncio.wait({watching})
