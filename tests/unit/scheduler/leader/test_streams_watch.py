"""What of the log is needed, when starts are refused for it, and what is told about every stream."""

from dataclasses import replace

import pytest

from chassis import metrics
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.domain.log_room import BillingPosition, StoreUse, log_room
from scheduler.leader.streams_watch import StreamsWatch
from tests.support.events import T0, requested
from tests.support.scheduler.builders import log
from tests.support.scheduler.fakes import FakeStores

USE = StoreUse("SESSIONS", 1_000, 1_000, 1_000, T0 / 1000 - 60, 1_001, 2_000, 0)
EMPTY = StoreUse("SESSIONS", 0, 1_000, 0, None, 1, 0, 0)


@pytest.mark.parametrize(
    ("billing", "oldest_open", "needed"),
    [
        (None, None, 0),
        (BillingPosition(read_seq=2_000, waiting=0), None, 0),
        (BillingPosition(read_seq=1_500, waiting=0), None, 0),
        (BillingPosition(read_seq=1_500, waiting=1), None, 500),
        (BillingPosition(read_seq=1_900, waiting=9), 1_201, 800),
        (BillingPosition(read_seq=0, waiting=9), None, 1_000),
        (None, 1_951, 50),
    ],
)
def test_what_billing_has_not_read_and_what_runs_is_needed(
    billing: BillingPosition | None, oldest_open: int | None, needed: int
) -> None:
    room = log_room(USE, billing, oldest_open, calls_bytes=0, was_behind=False)
    assert room.needed_bytes == needed
    assert room.is_full == (needed >= 900)


def test_the_calls_that_run_can_always_be_written_to_their_end() -> None:
    behind = BillingPosition(read_seq=1_400, waiting=1)
    assert not log_room(USE, behind, None, calls_bytes=300, was_behind=False).is_full
    assert log_room(USE, behind, None, calls_bytes=400, was_behind=False).is_full


def test_a_log_without_a_bound_or_without_messages_is_never_full() -> None:
    behind = BillingPosition(read_seq=0, waiting=9)
    assert not log_room(replace(USE, max_bytes=0), behind, None, calls_bytes=9_000, was_behind=True).is_full
    assert not log_room(EMPTY, behind, None, calls_bytes=0, was_behind=True).is_full


def test_what_the_log_gave_up_unread_is_counted_only_where_billing_was_behind() -> None:
    behind = BillingPosition(read_seq=900, waiting=3)
    assert log_room(USE, behind, None, calls_bytes=0, was_behind=True).gone_unread == 100
    assert log_room(USE, behind, None, calls_bytes=0, was_behind=False).gone_unread == 0, "an idle log ages"
    assert log_room(USE, BillingPosition(1_500, 3), None, calls_bytes=0, was_behind=True).gone_unread == 0


def value(name: str, stream: str | None = None) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, {"stream": stream} if stream else {})


async def test_every_stream_is_told_and_the_log_is_guarded_until_billing_reads_again() -> None:
    stores = FakeStores(
        StoreUse("SESSIONS", 950, 1_000, 1_000, T0 / 1000 - 60, 1_001, 2_000, 12),
        StoreUse("KV_slots", 0, 100, 0, None, 1, 0, 0),
        position=BillingPosition(read_seq=1_002, waiting=998),
    )
    board = Board(Limits(), T0)
    watch = StreamsWatch(stores, board, 15, calls_bytes=0, now=lambda: T0 / 1000)

    await watch.look()
    assert watch.log_is_full
    assert value("scheduler_stream_used_ratio", "SESSIONS") == 0.95
    assert value("scheduler_stream_oldest_seconds", "SESSIONS") == 60
    assert value("scheduler_stream_oldest_seconds", "KV_slots") == 0
    assert value("scheduler_stream_consumers", "SESSIONS") == 12
    assert value("scheduler_billing_behind_messages") == 998

    stores.found["SESSIONS"] = replace(stores.found["SESSIONS"], first_seq=1_103)
    await watch.look()
    assert value("scheduler_billing_gone_messages") == 100

    stores.position = BillingPosition(read_seq=2_000, waiting=0)
    await watch.look()
    assert not watch.log_is_full
    assert value("scheduler_billing_gone_messages") == 0

    for record in log(requested()):
        board.record(replace(record, seq=1_110))
    await watch.look()
    assert watch.log_is_full, "a call that runs is needed, too"
