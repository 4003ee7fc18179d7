"""The stages of a start as spans."""

from agent_runner.domain.stages import spans


def test_each_stage_begins_where_what_it_waits_for_was_over() -> None:
    over = {"pool_wait": 4, "go": 5, "tts_connected": 40, "join": 110, "joined": 112, "heard": 170}
    assert spans(over) == {
        "pool_wait": (0, 4),
        "go": (4, 5),
        "tts_connected": (5, 40),
        "join": (5, 110),
        "joined": (5, 112),
        "heard": (112, 170),
    }


def test_what_is_not_known_begins_with_the_assignment_and_none_ends_before_it_begins() -> None:
    assert spans({"heard": 9}) == {"heard": (0, 9)}
    assert spans({"go": 5, "join": 3}) == {"go": (0, 5), "join": (3, 3)}
