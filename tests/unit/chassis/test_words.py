"""Sealing: the words go into one field and come out again, and only with the session's key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.words import new_secret, opened, seal
from contracts.events import (
    EVENTS,
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    EndRequested,
    Event,
    JobAssigned,
    ProviderFault,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionErased,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TimeLost,
    ToolCalled,
    TurnFinished,
)
from contracts.parsing import parse_event
from contracts.tools import RecordedTool
from contracts.words import with_words, without_words, words_of
from tests.support.events import SESSION, assigned, at, ended, requested, turn

SECRET = new_secret()
TOOL = RecordedTool(name="weather", description="Tells Zaphod the weather", url="https://example.org/zaphod")
CALL = ToolCalled(
    session_id=SESSION,
    time=at(3),
    epoch=1,
    n=1,
    turn=1,
    name="weather",
    key="k",
    arguments_hash="zaphod-hash",
    status="finished",
    outcome="done",
    arguments='{"who": "Zaphod"}',
    answer="Zaphod gets wet.",
)
STARTED = requested(
    user="Zaphod",
    opening_line="Hi Zaphod!",
    system_prompt="Call him Zaphod.",
    metadata={"zaphod": "Zaphod"},
    tools=(TOOL,),
).model_copy(update={"user_id": "account-7"})
SAID = turn(user="I am Zaphod", heard="Hello Zaphod").model_copy(update={"summary": "He is Zaphod."})

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize("event", [STARTED, SAID, CALL], ids=["requested", "turn", "tool"])
def test_no_word_is_left_in_the_clear_and_all_come_back(event: Event) -> None:
    sealed = seal(event, SECRET)
    stored = sealed.model_dump_json()

    assert "zaphod" not in stored.lower()
    assert opened(parse_event(event.subject, stored), SECRET) == event
    assert (sealed.id, sealed.time) == (event.id, event.time)


@given(user=texts, heard=texts, summary=texts, n=st.integers(0, 9))
def test_any_words_come_back(user: str, heard: str, summary: str, n: int) -> None:
    event = turn(n=n, user=user, heard=heard).model_copy(update={"summary": summary})

    assert opened(parse_event(event.subject, seal(event, SECRET).model_dump_json()), SECRET) == event


@pytest.mark.parametrize("secret", [new_secret(), "", None], ids=["another key", "empty", "none"])
def test_without_the_key_the_facts_stay_and_the_words_do_not_come_back(secret: str | None) -> None:
    sealed = seal(SAID, SECRET)

    assert opened(sealed, secret) == sealed
    assert (sealed.user_text, sealed.heard_text, sealed.summary) == ("", "", "")


def test_words_that_were_moved_to_another_event_do_not_open() -> None:
    moved = turn(n=5).model_copy(update={"sealed": seal(SAID, SECRET).sealed})

    assert opened(moved, SECRET) == moved


@pytest.mark.parametrize("sealed", ["x", "AAAA", "ÄÖ", "A" * 100])
def test_a_spoilt_seal_is_left_closed(sealed: str) -> None:
    event = turn().model_copy(update={"sealed": sealed})

    assert opened(event, SECRET) == event


def test_the_same_words_are_sealed_differently_each_time() -> None:
    assert seal(SAID, SECRET).sealed != seal(SAID, SECRET).sealed


@pytest.mark.parametrize("event", [assigned(), ended(), turn()], ids=["assigned", "ended", "an empty turn"])
def test_an_event_without_words_stays_as_it_is(event: Event) -> None:
    assert seal(event, SECRET) == event


def test_without_a_secret_the_words_stay_in_the_clear() -> None:
    assert seal(STARTED, "") == STARTED


FACTS: dict[type[Event], str] = {
    SessionRequested: "user_id user_id_derived voice_id end_call interruptible language credit_limit_minutes",
    SessionQueued: "considered deadline_at position reason",
    JobAssigned: "age_ms billable_ms_before considered epoch granted_minutes node_id served_ms_before",
    AgentReady: "epoch log_file node_id pid stage_ms",
    SessionStarted: "at epoch",
    AgentSpeaking: "epoch stage_ms",
    TurnFinished: "epoch n interrupted stage_ms summary_keeps budget_ms over said",
    ToolCalled: "epoch n turn name key status outcome error",
    ProviderFault: "again_ms detail epoch kind ms n provider",
    ServedTick: "epoch fault_ms served_ms",
    AgentStopped: "cause epoch fault_ms served_ms",
    TimeLost: "billable_ms epoch",
    EndRequested: "by reason",
    SessionEnded: "billable_ms considered epoch outcome reason",
    SessionBilled: "credits credits_per_minute minutes rule seconds",
    SessionErased: "account_is_name",
}
"""The fields that an erasure leaves: none may say what was said, or who spoke."""


@pytest.mark.parametrize("kind", EVENTS)
def test_the_fields_of_an_event_are_words_or_known_facts(kind: type[Event]) -> None:
    """A new field with words must be listed in `contracts.words`; a new fact here."""
    said = next((e for e in (STARTED, SAID, CALL) if isinstance(e, kind)), None)
    words = {} if said is None else words_of(said)

    assert ("sealed" in kind.model_fields) == bool(words)
    assert kind.model_fields.keys() - words.keys() - {"session_id", "time", "sealed"} == {*FACTS[kind].split()}


def test_only_known_fields_are_taken_from_sealed_words() -> None:
    forged: dict[str, Any] = json.loads(json.dumps(words_of(SAID) | {"epoch": 99}))

    assert with_words(without_words(SAID), forged) == SAID
