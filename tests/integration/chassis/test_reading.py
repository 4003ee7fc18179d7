"""Reading back what the log says."""

from chassis.nats import Bus

from contracts import subjects
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
