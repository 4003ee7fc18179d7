"""LiveKit's webhooks as events."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.room_events import MalformedWebhook, room_event
from tests.support.events import SESSION


def webhook(**fields: Any) -> dict[str, Any]:
    return {
        "id": "EV_1",
        "event": "participant_left",
        "createdAt": "1795521600",
        "room": {"sid": "RM_1", "name": SESSION, "turnPassword": "hunter2"},
        "participant": {"sid": "PA_1", "identity": f"caller:{SESSION}", "disconnectReason": "CLIENT_INITIATED"},
        **fields,
    }


def test_a_webhook_becomes_an_event_with_the_webhooks_own_id() -> None:
    event = room_event(webhook())

    assert event is not None
    assert (event.id, event.event, event.session_id, event.room_sid) == ("EV_1", "participant_left", SESSION, "RM_1")
    assert (event.participant_identity, event.participant_sid) == (f"caller:{SESSION}", "PA_1")
    assert event.disconnect_reason == "CLIENT_INITIATED"
    assert event.time == datetime.fromtimestamp(1795521600, UTC)


def test_no_password_goes_further() -> None:
    event = room_event(webhook())

    assert event is not None
    assert "hunter2" not in event.model_dump_json()


@pytest.mark.parametrize("room", [{"name": "lobby"}, {"name": "session_a b"}, {"name": f"{SESSION}\n"}, {}, None, "x"])
def test_a_room_that_is_not_ours_is_none_of_our_business(room: Any) -> None:
    assert room_event(webhook(room=room)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": 7},
        {"event": "Room.Left"},
        {"event": None},
        {"createdAt": "soon"},
        {"createdAt": 10**30},
    ],
)
def test_a_webhook_that_cannot_be_read_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedWebhook):
        room_event(webhook(**fields))
