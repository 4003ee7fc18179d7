"""Reading back what the log says."""

import pytest

from chassis.nats import Bus
from chassis.nats.jetstream import direct
from chassis.nats.jetstream.messages import headers_of
from contracts import subjects
from contracts.events import ServedTick, SessionRequested
from tests.integration.chassis.events import assigned, requested, tick


async def test_a_history_is_one_session_in_stream_order(bus: Bus) -> None:
    await bus.publish(requested("session_1"))
    await bus.publish(requested("session_2"))
    await bus.publish(assigned("session_1"))
    for served_ms in range(1200):  # more than one page
        await bus.publish(tick("session_1", served_ms))

    history = await bus.history("session_1")

    assert [s.event.event for s in history if s.event][:3] == ["requested", "assigned", "tick"]
    assert len(history) == 1202
    assert [s.seq for s in history] == sorted({s.seq for s in history})


async def test_an_unknown_session_has_no_history(bus: Bus) -> None:
    await bus.publish(requested("session_1"))
    assert await bus.history("session_2") == []
    assert await bus.last(subjects.session_event("requested", "session_2")) is None


async def test_the_last_message_of_a_filter(bus: Bus) -> None:
    await bus.publish(requested())
    await bus.publish(assigned(epoch=1))
    await bus.publish(assigned(epoch=2))
    await bus.publish(requested("session_2"))

    last = await bus.last(subjects.session_log("session_1"))
    assert last is not None
    assert last.event is not None
    assert last.event == assigned(epoch=2).model_copy(update={"time": last.event.time})


async def test_a_message_of_another_version_has_no_event_but_is_there(bus: Bus) -> None:
    await bus.publish_raw("voice.v1.session.danced.session_1", b"{}", headers={"Nats-Msg-Id": "1"})

    (stored,) = await bus.history("session_1")

    assert stored.event is None
    assert stored.data == b"{}"


async def test_the_last_message_of_each_subject_in_pages_of_few_bytes_too(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"session_{n}" for n in range(300)]
    for name in names:
        for served_ms in (1, 2):
            event = tick(name, served_ms)
            await bus.nc.publish(event.subject, event.model_dump_json().encode(), headers=headers_of(event, "test"))
    await bus.publish(requested("session_7"))
    asked = [subjects.session_event(kind, name) for name in names for kind in ("tick", "requested", "ended")]

    for most in (8 * 1024 * 1024, 20_000):
        monkeypatch.setattr(direct, "_PAGE_BYTES", most)
        found = [record.event for record in await bus.last_of_each(asked)]
        ticks = {event.session_id: event.served_ms for event in found if isinstance(event, ServedTick)}
        assert ticks == dict.fromkeys(names, 2)
        assert [e.session_id for e in found if isinstance(e, SessionRequested)] == ["session_7"]
        assert len(found) == 301
    assert await bus.last_of_each([]) == []
    assert await bus.last_of_each([subjects.session_event("ended", "session_7")]) == []


async def test_the_subjects_of_a_stream_are_listed_by_a_filter(bus: Bus) -> None:
    for n in range(3):
        await bus.publish(requested(f"session_{n}"))
    await bus.publish(tick("session_1", 5))
    wildcard = subjects.session_event("requested", "*")
    assert await bus.subjects(wildcard) == {subjects.session_event("requested", f"session_{n}") for n in range(3)}
    assert await bus.subjects(subjects.session_event("ended", "*")) == set()
