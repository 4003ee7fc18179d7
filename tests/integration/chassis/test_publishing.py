"""Publishing: once, or not, and always an answer."""

import asyncio
import time

import pytest

from chassis import metrics
from chassis.nats import Bus, BusUnavailable, PublishRefused, SequenceConflict
from contracts import subjects
from contracts.room_events import RoomEvent
from tests.integration.chassis.events import assigned, requested, tick
from tests.support.servers import NatsServer


async def test_an_event_is_stored_with_its_id_and_cloudevents_headers(bus: Bus) -> None:
    event = requested()

    published = await bus.publish(event)

    stored = await bus.last(event.subject)
    assert stored is not None
    assert (stored.seq, stored.event, stored.id) == (published.seq, event, str(event.id))
    assert stored.headers["ce-id"] == str(event.id)
    assert stored.headers["ce-type"] == "voice.v1.session.requested"
    assert stored.headers["ce-source"] == "/test"
    assert stored.headers["ce-specversion"] == "1.0"
    assert stored.headers["ce-time"] == event.time.isoformat()
    assert abs(stored.stored_ms - time.time() * 1000) < 5_000


async def test_the_same_event_is_stored_once(bus: Bus) -> None:
    first = await bus.publish(tick())
    second = await bus.publish(tick())

    assert (second.seq, second.duplicate) == (first.seq, True)
    assert len(await bus.history("session_1")) == 1


@pytest.mark.parametrize("expect_last", [None, 0])
async def test_an_event_whose_id_another_subject_took_is_stored_all_the_same(bus: Bus, expect_last: int | None) -> None:
    """A service that may publish ticks could suppress an assignment by publishing under its id before."""
    event = assigned(epoch=1)
    taken = {"Nats-Msg-Id": str(event.id)}
    await bus.publish_raw(subjects.session_event("tick", "session_1"), b"{}", headers=taken)
    counted = samples()

    published = await bus.publish(event, expect_last=expect_last)
    again = await bus.publish(event, expect_last=expect_last)

    stored = await bus.last(event.subject)
    assert stored is not None
    assert (stored.seq, stored.event, published.duplicate) == (published.seq, event, False)
    assert (again.seq, again.duplicate) == (published.seq, True)
    assert samples() > counted


def samples() -> float:
    return metrics.REGISTRY.get_sample_value("bus_message_ids_taken_total", {"stream": "SESSIONS"}) or 0.0


async def test_a_room_event_goes_to_its_own_stream(bus: Bus) -> None:
    event = RoomEvent(id="EV_1", event="room_finished", session_id="session_1", time=requested().time)

    await bus.publish(event)

    stored = await bus.last(subjects.room_event("room_finished", "session_1"))
    assert stored is not None
    assert stored.event == event


async def test_only_one_of_two_rivals_gets_the_next_sequence(bus: Bus) -> None:
    first = await bus.publish(assigned(epoch=1), expect_last=0)

    with pytest.raises(SequenceConflict) as caught:
        await bus.publish(assigned(epoch=2), expect_last=0)

    assert caught.value.last_seq == first.seq
    assert caught.value.last_event_id == str(assigned(epoch=1).id)
    assert (await bus.publish(assigned(epoch=2), expect_last=first.seq)).seq > first.seq


async def test_expecting_a_message_where_there_is_none_is_a_conflict(bus: Bus) -> None:
    with pytest.raises(SequenceConflict) as caught:
        await bus.publish(assigned(), expect_last=7)
    assert (caught.value.last_seq, caught.value.last_event_id) == (0, None)


async def test_a_lost_acknowledgement_is_no_conflict(bus: Bus, nats_server: NatsServer) -> None:
    # The frozen server stores the first attempt when it thaws; the second then finds its own message.
    nats_server.freeze()
    publishing = asyncio.create_task(bus.publish(assigned(), expect_last=0))
    await asyncio.sleep(2.5)
    nats_server.thaw()

    published = await publishing

    assert published.duplicate
    assert len(await bus.history("session_1")) == 1


async def test_a_publish_goes_through_a_restart(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill9()
    publishing = asyncio.create_task(bus.publish(requested()))
    await asyncio.sleep(1)
    nats_server.start()

    assert not (await publishing).duplicate
    assert len(await bus.history("session_1")) == 1


async def test_while_nats_is_down_a_publish_fails_at_its_deadline_and_is_not_sent_later(
    bus: Bus, nats_server: NatsServer
) -> None:
    nats_server.kill9()
    started = time.monotonic()

    with pytest.raises(BusUnavailable, match=r"publishing to voice\.v1\.session\.requested"):
        await bus.publish(requested(), deadline_s=0.8)

    assert time.monotonic() - started < 4  # without a deadline it is 10
    nats_server.start()
    assert await bus.history("session_1") == []


async def test_reading_while_nats_is_down_fails_at_its_deadline(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill9()
    subject = subjects.session_event("ended", "session_1")
    for reading in (bus.last(subject, deadline_s=0.5), bus.history("session_1", deadline_s=0.5)):
        started = time.monotonic()
        with pytest.raises(BusUnavailable):
            await reading
        assert time.monotonic() - started < 4


async def test_a_message_that_is_too_large_is_refused_at_once(bus: Bus) -> None:
    for size in (600_000, 2_000_000):  # above the stream's bound, above the server's
        with pytest.raises(PublishRefused):
            await bus.publish_raw("voice.v1.session.turn.session_1", b"x" * size, headers={"Nats-Msg-Id": "1"})


async def test_without_its_stream_a_publish_fails_at_its_deadline(nats_url: str) -> None:
    bus = await Bus.connect(nats_url, name="test")
    with pytest.raises(BusUnavailable):
        await bus.publish(requested(), deadline_s=0.5)
    await bus.close()
