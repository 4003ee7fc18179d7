from contracts.rooms import room_shape


def test_an_empty_room_outlives_the_queue_deadline_by_a_minute_in_whole_seconds() -> None:
    assert room_shape(30) == {"max_participants": 100, "empty_timeout": 90, "departure_timeout": 60}
    assert room_shape(0.2)["empty_timeout"] == 61
