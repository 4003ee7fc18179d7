from contracts.rooms import room_shape


def test_a_room_with_an_agent_alone_outlives_every_wait_for_its_caller() -> None:
    """LiveKit counts no participant of kind AGENT: PREJOIN_MAX_AGE_S is a day at most, RECONNECT_GRACE_S an hour."""
    assert room_shape(30) == {"max_participants": 100, "empty_timeout": 90_030, "departure_timeout": 7_200}
    assert room_shape(0.2)["empty_timeout"] == 90_001
