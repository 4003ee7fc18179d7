"""Buckets: compare-and-set, TTLs that renewals keep, and a watch that is not deaf."""

import asyncio

import pytest

from chassis.nats import Bucket, Bus, BusUnavailable, Change, ChangeKind, KeyChanged, KeyExists
from chassis.nats.errors import ApiError
from chassis.nats.kv import bucket as module
from chassis.words import new_secret
from contracts.registry import WordsKey
from contracts.streams import IDEMPOTENCY, NODES, SLOTS
from contracts.streams import KEYS as WORDS_KEYS
from tests.support.events import NOW
from tests.support.servers import NatsServer
from tests.support.stores import files_hold, words_in
from tests.support.waiting import until


async def value(bucket: Bucket, key: str) -> bytes | None:
    entry = await bucket.get(key)
    return None if entry is None else entry.data


async def expires(bucket: Bucket, key: str) -> None:
    """Wait until a key with a TTL of 1 s is gone; the bucket's own TTL of 4 s is too long."""
    assert NODES.key_ttl_s == 4

    async def gone() -> bool:
        return await value(bucket, key) is None

    await until(gone, 3.5)


async def test_put_get_delete(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    assert await bucket.get("0") is None

    revision = await bucket.put("0", b"a")
    entry = await bucket.get("0")
    assert entry is not None
    assert (entry.key, entry.data, entry.revision) == ("0", b"a", revision)

    await bucket.delete("0")
    assert await bucket.get("0") is None
    assert await bucket.all() == {}
    await bucket.delete("0")


@pytest.mark.parametrize("key", ["", ">", "a.*", "a b", "a..b", ".a", "a\r\nPUB x", "ä", "x" * 201])
async def test_what_is_no_key_is_refused(bus: Bus, key: str) -> None:
    bucket = bus.bucket(SLOTS)
    for call in (bucket.get(key), bucket.put(key, b""), bucket.create(key, b""), bucket.delete(key)):
        with pytest.raises(ValueError, match="not a key"):
            await call


async def test_one_of_many_creates_a_key(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)

    async def create(n: int) -> bool:
        try:
            await bucket.create("0", str(n).encode())
        except KeyExists:
            return False
        return True

    assert sum(await asyncio.gather(*(create(n) for n in range(10)))) == 1


async def test_an_erased_value_is_overwritten_on_disk_and_its_key_can_be_created_again(
    bus: Bus, nats_server: NatsServer
) -> None:
    bucket = bus.bucket(WORDS_KEYS)
    secret = new_secret()
    revision = await bucket.put("0", WordsKey(secret=secret, at=NOW))
    await until(lambda: words_in(files_hold(nats_server.store), secret), 5)

    for _ in range(2):
        await bucket.erase("0", revision)

    assert not words_in(files_hold(nats_server.store), secret)
    await bucket.create("0", WordsKey(at=NOW))
    with pytest.raises(ApiError):
        await bus.bucket(SLOTS).erase("0", await bus.bucket(SLOTS).put("0", b"a"), deadline_s=1)


async def test_an_erased_newest_value_hides_no_other(bus: Bus) -> None:
    bucket = bus.bucket(WORDS_KEYS)
    await bucket.put("0", WordsKey(secret=new_secret(), at=NOW))
    revision = await bucket.put("1", WordsKey(secret=new_secret(), at=NOW))

    await bucket.erase("1", revision)

    assert list(await bucket.some(["0", "1"])) == ["0"]


async def test_a_deleted_key_can_be_created_again(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    await bucket.create("0", b"a")
    await bucket.delete("0")
    await bucket.create("0", b"b")
    assert await value(bucket, "0") == b"b"


async def test_a_remembered_deletion_that_others_have_overtaken_decides_nothing(bus: Bus) -> None:
    ours, theirs = bus.bucket(SLOTS), bus.bucket(SLOTS)
    await ours.create("0", b"a")
    await ours.delete("0")
    await theirs.create("0", b"b")
    with pytest.raises(KeyExists):
        await ours.create("0", b"c")

    await theirs.delete("0")
    await ours.create("0", b"d")
    assert await value(theirs, "0") == b"d"


async def test_a_key_is_created_again_in_one_request(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    await bucket.create("0", b"a")
    await bucket.delete("0")
    before = bus.nc.stats["out_msgs"]
    await bucket.create("0", b"b")
    assert bus.nc.stats["out_msgs"] == before + 1


async def test_a_key_whose_marker_has_expired_is_created_in_one_request_too(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DELETE_MARKER_TTL_S", 1)
    bucket = bus.bucket(SLOTS)
    await bucket.create("0", b"a")
    await bucket.delete("0")
    await asyncio.sleep(2.5)
    before = bus.nc.stats["out_msgs"]
    await bucket.create("0", b"b")
    assert bus.nc.stats["out_msgs"] == before + 1


async def test_an_update_or_deletion_of_another_revision_is_refused(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    old = await bucket.put("0", b"a")
    new = await bucket.update("0", b"b", old)

    with pytest.raises(KeyChanged) as caught:
        await bucket.update("0", b"c", old)
    assert caught.value.revision == new
    with pytest.raises(KeyChanged):
        await bucket.delete("0", old)
    with pytest.raises(KeyExists):
        await bucket.create("0", b"d")
    assert await value(bucket, "0") == b"b"


async def test_a_key_goes_at_its_ttl_and_can_be_created_again(bus: Bus) -> None:
    bucket = bus.bucket(NODES)
    await bucket.create("n1", b"a", ttl_s=1)

    await expires(bucket, "n1")

    assert await bucket.all() == {}
    await bucket.create("n1", b"b", ttl_s=30)
    assert await value(bucket, "n1") == b"b"


async def test_a_renewal_keeps_the_key_and_its_ttl(bus: Bus) -> None:
    bucket = bus.bucket(NODES)
    revision = await bucket.create("n1", b"a", ttl_s=3)
    for _ in range(3):
        await asyncio.sleep(1.1)
        revision = await bucket.update("n1", b"a", revision, ttl_s=3)
    assert await value(bucket, "n1") == b"a"

    await bucket.update("n1", b"a", revision, ttl_s=1)

    await expires(bucket, "n1")


async def test_the_buckets_own_ttl_is_the_default(bus: Bus) -> None:
    nodes, slots = bus.bucket(NODES), bus.bucket(SLOTS)
    await nodes.put("n1", b"a")
    await slots.put("0", b"a")

    in_nodes = await bus.js.get_last_msg("KV_nodes", "$KV.nodes.n1")
    in_slots = await bus.js.get_last_msg("KV_slots", "$KV.slots.0")

    assert (in_nodes.headers or {})["Nats-TTL"] == str(NODES.key_ttl_s)
    assert "Nats-TTL" not in (in_slots.headers or {})
    assert (await bus.js.stream_info("KV_idempotency")).config.max_age == IDEMPOTENCY.ttl_s


async def test_all_gives_every_key(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    for n in range(1100):  # more than two pages
        await bucket.put(str(n), b"a")
    await bucket.delete("7")

    entries = await bucket.all()

    assert set(entries) == {str(n) for n in range(1100)} - {"7"}


async def test_all_gives_every_key_while_they_are_renewed(bus: Bus) -> None:
    bucket, keys = bus.bucket(NODES), [f"n{n}" for n in range(1100)]
    await asyncio.gather(*(bucket.put(key, b"a") for key in keys))
    reading = True

    async def renew() -> None:
        while reading:
            for start in range(0, len(keys), 20):
                await asyncio.gather(*(bucket.put(key, b"b") for key in keys[start : start + 20]))

    renewing = asyncio.create_task(renew())
    try:
        for _ in range(6):
            assert set(keys) - set(await bucket.all()) == set(), "a key moved between two pages and was overlooked"
    finally:
        reading = False
        await renewing


async def test_a_lost_acknowledgement_of_a_creation_is_no_conflict(bus: Bus, nats_server: NatsServer) -> None:
    bucket = bus.bucket(SLOTS)
    nats_server.freeze()
    creating = asyncio.create_task(bucket.create("0", b"a", deadline_s=8))
    await asyncio.sleep(2.5)
    nats_server.thaw()

    assert await creating == 1


async def test_while_nats_is_down_a_call_fails_at_its_deadline(bus: Bus, nats_server: NatsServer) -> None:
    bucket = bus.bucket(SLOTS)
    nats_server.kill9()
    for call in (
        bucket.get("0", deadline_s=0.3),
        bucket.put("0", b"a", deadline_s=0.3),
        bucket.create("0", b"a", deadline_s=0.3),
        bucket.all(deadline_s=0.3),
    ):
        async with asyncio.timeout(4):  # without a deadline it is 10
            with pytest.raises(BusUnavailable):
                await call


class Watch:
    """Watches a bucket in the background."""

    def __init__(self, bucket: Bucket, *, poll_s: float = 5) -> None:
        self.changes: list[Change] = []
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(bucket.watch(self._see, poll_s=poll_s, ready=self.ready))

    async def _see(self, change: Change) -> None:
        self.changes.append(change)

    @property
    def told(self) -> list[tuple[str, ChangeKind]]:
        return [(change.key, change.kind) for change in self.changes]

    @property
    def stands(self) -> dict[str, bytes]:
        """The keys that have a value by all that was told, with it."""
        last = {change.key: change.data for change in self.changes}
        return {key: data for key, data in last.items() if data is not None}

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_a_watcher_is_told_what_is_there_and_what_changes(bus: Bus) -> None:
    bucket = bus.bucket(NODES)
    await bucket.put("n1", b"a")
    watch = Watch(bucket)
    async with asyncio.timeout(2):
        await watch.ready.wait()
    assert watch.told == [("n1", ChangeKind.PUT)]

    await bucket.delete("n1")
    await bucket.put("n2", b"b", ttl_s=1)
    await until(lambda: len(watch.changes) == 4, 3.5)

    assert watch.told[1:] == [("n1", ChangeKind.DELETED), ("n2", ChangeKind.PUT), ("n2", ChangeKind.EXPIRED)]
    assert watch.changes[2].data == b"b"
    await watch.stop()


async def test_a_watcher_is_not_deaf_after_a_restart(bus: Bus, nats_server: NatsServer) -> None:
    bucket = bus.bucket(NODES)
    watch = Watch(bucket)
    await bucket.put("n1", b"a")
    await until(lambda: len(watch.changes) == 1)

    nats_server.restart()
    await bucket.put("n2", b"a", deadline_s=8)

    await until(lambda: len(watch.changes) == 2, 5)
    assert watch.told == [("n1", ChangeKind.PUT), ("n2", ChangeKind.PUT)]
    await watch.stop()


async def test_an_expiry_while_the_server_was_away_is_told(bus: Bus, nats_server: NatsServer) -> None:
    bucket = bus.bucket(NODES)
    watch = Watch(bucket, poll_s=1)
    await bucket.put("n1", b"a", ttl_s=1)
    await until(lambda: len(watch.changes) == 1)

    nats_server.kill9()
    await asyncio.sleep(1.5)
    nats_server.start()

    await until(lambda: watch.told == [("n1", ChangeKind.PUT), ("n1", ChangeKind.EXPIRED)], 8)
    await watch.stop()


async def test_an_expiry_that_leaves_no_marker_is_found_by_the_poll(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)  # without markers
    watch = Watch(bucket, poll_s=0.3)
    await bucket.put("0", b"a", ttl_s=1)

    await until(lambda: watch.told == [("0", ChangeKind.PUT), ("0", ChangeKind.EXPIRED)], 4)
    await bucket.put("0", b"b")
    await until(lambda: watch.told[-1] == ("0", ChangeKind.PUT), 2)
    await watch.stop()


async def test_a_bucket_that_was_made_anew_is_followed(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    watch = Watch(bucket, poll_s=0.3)
    for n in range(5):
        await bucket.put(str(n), b"a")
    await until(lambda: len(watch.changes) == 5)

    await bus.js.delete_stream("KV_slots")
    bus.redeclare_soon()
    assert bus._redeclaring is not None
    await bus._redeclaring
    await bucket.put("0", b"new")

    # Whether a poll saw the bucket empty before the new value came is a matter of time; what stands after it is not.
    await until(lambda: watch.stands == {"0": b"new"}, 8)
    await watch.stop()


async def test_a_watcher_that_fails_is_told_the_next_change(bus: Bus) -> None:
    bucket = bus.bucket(SLOTS)
    seen: list[str] = []

    async def bug(change: Change) -> None:
        seen.append(change.key)
        raise RuntimeError("bug")

    task = asyncio.create_task(bucket.watch(bug))
    await bucket.put("0", b"a")
    await bucket.put("1", b"a")

    await until(lambda: seen == ["0", "1"])
    task.cancel()
    await asyncio.wait({task})
