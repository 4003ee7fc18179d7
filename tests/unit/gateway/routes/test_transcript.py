"""The transcript: the turns of a call, as far as the caller heard them."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event
from contracts.transcript import Transcript
from gateway.domain.transcript import as_text, transcript
from tests.support.events import SESSION, assigned, at, ended, ready, requested, tick, tool, turn
from tests.support.gateway.world import World

ROUTE = f"/v1/sessions/{SESSION}/transcript"


LOG: tuple[Event, ...] = (
    requested(language="en-GB"),
    assigned(),
    ready(),
    turn(1, 0, heard="Hi Ann!").model_copy(update={"time": at(2.5)}),
    tool("weather", after=3),
    tool("weather", "done", after=4),
    turn(1, 1, user="Is it\nraining?", heard="No, the sun").model_copy(update={"interrupted": True, "time": at(65)}),
    tool("weather", n=2, turn=2, after=66),
    assigned(2, "n2", after=70),
    turn(2, 0, heard="I am back.").model_copy(update={"time": at(71)}),
    tick(5),
    ended(),
)


def told(*events: Event) -> Transcript:
    said = transcript(events)
    assert said is not None
    return said


def test_turns_come_in_order_with_their_tools_and_what_was_heard() -> None:
    said = told(*LOG)

    assert (said.session_id, said.language, said.erased) == (SESSION, "en-GB", False)
    assert [(t.epoch, t.n, t.offset_ms, t.user, t.agent, t.interrupted, t.is_opening) for t in said.turns] == [
        (1, 0, 2500, None, "Hi Ann!", False, True),
        (1, 1, 65_000, "Is it\nraining?", "No, the sun", True, False),
        (1, 2, 66_000, None, None, True, False),  # its agent crashed
        (2, 0, 71_000, None, "I am back.", False, True),
    ]
    assert [[(call.name, call.outcome) for call in t.tools] for t in said.turns] == [
        [],
        [("weather", "done")],
        [("weather", "unknown")],
        [],
    ]


def test_as_text_it_has_one_line_for_each_speaker() -> None:
    assert as_text(told(*LOG)) == (
        f"Session {SESSION}, language en-GB\n"
        "\n"
        "   00:02  agent   Hi Ann!\n"
        "   01:05  caller  Is it raining?\n"
        "   01:05  tool    weather: done\n"
        "   01:05  agent   No, the sun [interrupted]\n"
        "   01:06  tool    weather: unknown\n"
        "   01:06  agent   [interrupted]\n"
        "   01:11          (another agent took over)\n"
        "   01:11  agent   I am back.\n"
    )


@given(st.lists(st.sampled_from(LOG[1:]), max_size=30), st.randoms())
def test_order_and_repetition_change_nothing(again: list[Event], random: Any) -> None:
    shuffled = [*LOG, *again]
    random.shuffle(shuffled)

    assert told(*shuffled) == told(*LOG)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_word_looks_like_another_speakers_line(user: str, heard: str) -> None:
    text = as_text(told(requested(), turn(1, 1, user=user, heard=heard)))

    spoken = text.splitlines()[2:]
    assert len(spoken) == bool(user) + bool(heard) or "Nothing was said." in text
    assert text.count("\n") == 2 + len(spoken)


def test_a_session_without_turns_says_so() -> None:
    assert as_text(told(requested())) == f"Session {SESSION}\n\nNothing was said.\n"


async def test_the_answer_is_json_or_text(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = list(LOG)

    plain = await api.get(ROUTE)
    as_json = await api.get(f"{ROUTE}.json", headers={"Accept": "text/plain"})
    by_header = await api.get(ROUTE, headers={"Accept": "text/plain"})
    by_suffix = await api.get(f"{ROUTE}.txt")

    assert plain.json()["turns"][0] == {
        "n": 0,
        "epoch": 1,
        "at": at(2.5).isoformat().replace("+00:00", "Z"),
        "offsetMs": 2500,
        "user": None,
        "agent": "Hi Ann!",
        "interrupted": False,
        "isOpening": True,
        "tools": [],
    }
    assert as_json.json() == plain.json()
    assert by_header.headers["content-type"] == by_suffix.headers["content-type"] == "text/plain; charset=utf-8"
    assert by_header.text == by_suffix.text == as_text(told(*LOG))


@pytest.mark.parametrize("suffix", ["", ".json", ".txt"])
async def test_an_unknown_session_is_a_404(api: httpx.AsyncClient, suffix: str) -> None:
    answer = await api.get(ROUTE + suffix)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_session")
