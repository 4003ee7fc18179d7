"""What the caller's client is shown, and how much it may type."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.front_end import Caption, FrontEnd, FrontEndEffect, FrontEndStep, Shown
from agent_runner.domain.typed_text import BURST, REFILL_S, TypedText

Event = Callable[[FrontEnd], FrontEndStep]

BEGAN: Event = FrontEnd.began
CALLER_SPOKE: Event = FrontEnd.caller_spoke
TURN_ENDED: Event = FrontEnd.turn_ended
TOOL_RAN: Event = FrontEnd.tool_ran
MODEL_WROTE: Event = FrontEnd.model_wrote
INTERRUPTED: Event = FrontEnd.interrupted
SETTLED: Event = FrontEnd.settled


def agent(*, is_speaking: bool) -> Event:
    return lambda front_end: front_end.agent_spoke(is_speaking=is_speaking)


def said(words: str, utterance: str = "") -> Event:
    return lambda front_end: front_end.agent_said(words, utterance)


def heard(text: str, *, is_final: bool = False) -> Event:
    return lambda front_end: front_end.caller_said(text, is_final=is_final)


STARTS, STOPS = agent(is_speaking=True), agent(is_speaking=False)
WORDS = st.sampled_from(["", " ", " one", "two ", "三"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([BEGAN, CALLER_SPOKE, TURN_ENDED, TOOL_RAN, MODEL_WROTE, INTERRUPTED, STARTS, STOPS, SETTLED]),
    st.builds(said, WORDS, st.sampled_from(["", "next"])),
    st.builds(heard, WORDS, is_final=st.booleans()),
)


def play(*events: Event) -> list[FrontEndEffect]:
    front_end, shown = FrontEnd(), list[FrontEndEffect]()
    for event in events:
        front_end, effects = event(front_end)
        shown += effects
    return shown


def states(*events: Event) -> list[str]:
    return [effect.state for effect in play(*events) if isinstance(effect, Shown)]


def test_a_call_begins_by_listening_and_an_answer_is_thought_and_spoken() -> None:
    assert FrontEnd().state == "initializing"
    answer = (CALLER_SPOKE, TURN_ENDED, MODEL_WROTE, STARTS, STOPS)
    assert states(BEGAN, STARTS, STOPS, *answer) == [
        "listening", "speaking", "listening", "thinking", "speaking", "listening",
    ]  # fmt: skip


def test_while_a_tool_runs_behind_a_filler_the_agent_thinks() -> None:
    shown = states(BEGAN, TURN_ENDED, MODEL_WROTE, TOOL_RAN, STARTS, STOPS, TOOL_RAN, MODEL_WROTE, STARTS, STOPS)
    assert shown == ["listening", "thinking", "speaking", "thinking", "speaking", "listening"]


def test_an_interrupted_answer_ends_its_caption_with_what_was_heard() -> None:
    shown = play(STARTS, said(" One"), said(" two"), INTERRUPTED, said(" three"))
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [
        (1, "One", False), (1, "One two", False), (1, "One two", True), (2, "three", True),
    ]  # fmt: skip


def test_the_last_word_belongs_to_its_caption_and_one_that_is_later_still_is_complete_at_once() -> None:
    shown = play(
        STARTS, said(" One"), STOPS, said(" two"), SETTLED, said(" three"), STARTS, said(" Four"), STOPS, SETTLED
    )
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [
        (1, "One", False), (1, "One two", False), (1, "One two", True), (2, "three", True),
        (3, "Four", False), (3, "Four", True),
    ]  # fmt: skip


def test_the_last_word_of_a_line_belongs_to_its_caption_also_when_the_answer_has_begun() -> None:
    shown = play(
        STARTS, said(" Go", "line"), STOPS, STARTS, said(" on.", "line"), said(" It", "answer"), STOPS, SETTLED
    )
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [
        (1, "Go", False), (1, "Go on.", False), (1, "Go on.", True), (2, "It", False),
        (2, "It", True),
    ]  # fmt: skip


def test_a_first_word_that_comes_before_its_sound_is_in_its_caption() -> None:
    shown = play(said(" It", "answer"), STARTS, said(" is.", "answer"), STOPS, SETTLED)
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [
        (1, "It", False),
        (1, "It is.", False),
        (1, "It is.", True),
    ]


def test_the_end_of_a_lines_words_leaves_the_caption_open_of_an_answer_whose_first_word_has_come() -> None:
    shown = play(
        STARTS, said(" Go on.", "line"), STOPS, said(" It", "answer"), SETTLED, STARTS, said(" is.", "answer"), STOPS,
        SETTLED,
    )  # fmt: skip
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [
        (1, "Go on.", False), (1, "Go on.", True), (2, "It", False), (2, "It is.", False),
        (2, "It is.", True),
    ]  # fmt: skip


def test_an_utterance_whose_only_word_comes_behind_its_sound_ends_its_caption_when_it_settles() -> None:
    shown = play(STARTS, STOPS, said(" Yes.", "answer"), SETTLED)
    captions = [effect for effect in shown if isinstance(effect, Caption)]
    assert [(c.segment, c.text, c.is_final) for c in captions] == [(1, "Yes.", False), (1, "Yes.", True)]


def test_the_callers_partials_replace_each_other_until_the_final_text() -> None:
    captions = play(heard("What"), heard("What time"), heard("What time is it?", is_final=True), heard("And"))
    assert [(c.segment, c.text, c.is_final) for c in captions if isinstance(c, Caption)] == [
        (1, "What", False), (1, "What time", False), (1, "What time is it?", True), (2, "And", False),
    ]  # fmt: skip


@given(st.lists(EVENTS))
def test_states_alternate_and_captions_grow_and_never_return_once_final(events: list[Event]) -> None:
    shown = play(*events)
    seen = states(*events)
    assert all(before != after for before, after in zip(["initializing", *seen], seen, strict=False))
    text, done = dict[int, str](), set[int]()
    for caption in (effect for effect in shown if isinstance(effect, Caption)):
        assert caption.segment not in done
        assert caption.text.strip()
        if caption.side == "agent":
            assert caption.text.startswith(text.get(caption.segment, ""))
            text[caption.segment] = caption.text
        if caption.is_final:
            done.add(caption.segment)


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=60))
def test_typed_texts_are_taken_in_bursts_and_then_at_their_rate(pauses: list[float]) -> None:
    bucket, now, taken = TypedText(), 0.0, 0
    for pause in pauses:
        now += pause
        if (after := bucket.taken(now)) is not None:
            bucket, taken = after, taken + 1
    assert min(len(pauses), BURST) <= taken <= BURST + now / REFILL_S + 1e-6
