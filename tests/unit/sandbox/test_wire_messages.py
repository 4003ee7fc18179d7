"""The pure parts of the three protocols."""

import json
from datetime import datetime
from typing import Any

import pytest

from sandbox.assemblyai import messages
from sandbox.assemblyai.messages import BadParameter, formatted_text
from sandbox.groq.errors import RequestRefused
from sandbox.groq.reply import reply
from sandbox.groq.request import completion
from sandbox.inworld.order import order
from sandbox.inworld.speech import ends_a_sentence, speakable, timed_words
from sandbox.script import Reply
from sandbox.speech.espeak import Speech, WordStart
from sandbox.speech.protocol import Word

NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001
TIMER = {
    "type": "function",
    "function": {
        "name": "set_timer",
        "parameters": {
            "properties": {"minutes": {"type": "integer"}, "tone": {"enum": ["soft", "loud"]}},
            "required": ["minutes", "tone"],
        },
    },
}


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("what time is it", "What time is it?"),
        ("count to five", "Count to five."),
        ("then i said no", "Then I said no."),
        ("Already so!", "Already so!"),
        ("", ""),
    ],
)
def test_a_final_is_formatted(text: str, formatted: str) -> None:
    assert formatted_text(text) == formatted


def test_the_last_word_of_a_partial_is_open() -> None:
    words = [Word("count", 0, 100, 0.5), Word("to", 100, 200, 0.5)]
    partial = messages.turn(0, words, final=False, formatted=False)

    assert [word["word_is_final"] for word in partial["words"]] == [True, False]
    assert partial["transcript"] == "count to"
    assert partial["end_of_turn"] is False


def test_a_change_of_the_configuration_leaves_the_rest() -> None:
    before = messages.parameters({"sample_rate": "16000", "min_turn_silence": "100"})
    after = before.updated({"type": "UpdateConfiguration", "max_turn_silence": 900, "agent_context": "Hello."})

    assert (after.min_turn_silence, after.turn_silence_ms) == (100, 900)
    with pytest.raises(BadParameter):
        before.updated({"max_turn_silence": "long"})


def asked(text: str, **options: Any) -> Any:
    return completion({"model": "m", "messages": [{"role": "user", "content": text}], **options})


def test_a_request_may_carry_text_in_parts() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "count to two"}]}]}

    assert reply(completion(body), None, NOON).text == "One, two."


def test_the_tokens_are_the_text() -> None:
    answer = reply(asked("count to three"), None, NOON)

    assert answer.tokens == ("One,", " two,", " three.")
    assert answer.usage["completion_tokens"] == 3


def test_a_tool_gets_its_required_arguments() -> None:
    answer = reply(asked("set a loud timer for twenty minutes", tools=[TIMER]), None, NOON)

    assert json.loads(answer.calls[0][1]) == {"minutes": 20, "tone": "loud"}
    assert answer.finish_reason == "tool_calls"


def test_a_tool_is_called_only_when_it_is_spoken_of_or_demanded() -> None:
    assert reply(asked("hello", tools=[TIMER]), None, NOON).calls == ()
    assert reply(asked("set a timer", tools=[TIMER], tool_choice="none"), None, NOON).calls == ()
    assert reply(asked("hello", tools=[TIMER], tool_choice="required"), None, NOON).calls
    named = {"type": "function", "function": {"name": "set_timer"}}
    assert reply(asked("hello", tools=[TIMER], tool_choice=named), None, NOON).calls


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"type": "objct"}, "`/type`: "),
        ({"properties": {"city": {"type": 7}}}, "`/properties/city/type`: "),
        ({"properties": {"pair": {"items": [{}]}}}, "`/properties/pair/items`: "),
        ({"$schema": "https://example.org/own", "enum": "x"}, "`/enum`: "),
        ({"properties": {}, "required": []}, "'required' present but 'properties' is missing"),
    ],
)
def test_an_invalid_schema_of_a_tool_is_refused_as_by_groq(parameters: dict[str, Any], fault: str) -> None:
    broken = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    with pytest.raises(RequestRefused) as refused:
        asked("hello", tools=[TIMER, broken])
    error = refused.value.body["error"]
    assert error["message"].startswith(f"invalid JSON schema for tool look, tools[1].function.parameters: {fault}")
    assert error["param"] == "tool look, tools[1].function.parameters"


def test_a_schema_of_an_older_draft_is_checked_by_that_draft() -> None:
    pair = {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"pair": {"items": [{}, {}]}}}
    asked("hello", tools=[{"type": "function", "function": {"name": "look", "parameters": pair}}])


def test_a_tool_that_is_not_there_is_refused() -> None:
    named = {"type": "function", "function": {"name": "sing"}}
    with pytest.raises(RequestRefused, match="sing"):
        reply(asked("hello", tools=[TIMER], tool_choice=named), None, NOON)


THINKER = "openai/gpt-oss-120b"


def thought(limit: int, **reply_fields: Any) -> Any:
    return reply(
        asked("x", max_completion_tokens=limit).model_copy(update={"model": THINKER}), Reply(**reply_fields), NOON
    )


def test_reasoning_counts_in_the_token_limit() -> None:
    answer = thought(5, text="One two three.", reasoning_tokens=3)
    assert (answer.text, answer.finish_reason, answer.usage["completion_tokens"]) == ("One two", "length", 5)
    assert thought(5, text="One.", reasoning_tokens=99).text == ""
    assert thought(9, text="One two three.", reasoning_tokens=3).finish_reason == "stop"
    other = reply(asked("x", max_tokens=3), Reply(text="One two three.", reasoning_tokens=99), NOON)
    assert other.text == "One two three."  # a model that does not reason


def test_a_tools_arguments_are_cut_by_the_limit() -> None:
    answer = thought(10, tool_calls=({"name": "set_timer", "arguments": {"note": "x" * 99}},))
    assert answer.finish_reason == "length"
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(answer.calls[0][1])


@pytest.mark.parametrize(("model", "effort"), [("m", "low"), (THINKER, "none"), ("qwen/qwen3-32b", "low")])
def test_a_reasoning_effort_that_the_model_does_not_know_is_refused(model: str, effort: str) -> None:
    with pytest.raises(RequestRefused, match="reasoning_effort"):
        completion({"model": model, "messages": [{"role": "user", "content": "x"}], "reasoning_effort": effort})


def test_a_scripted_reply_wins() -> None:
    assert reply(asked("what time is it"), Reply(text="No."), NOON).text == "No."


def test_directions_are_not_spoken() -> None:
    text = "[happy] Hello [laughs warmly] *smiles* there.<break time='1s'/>"
    assert speakable(text, "inworld-tts-1.5-max") == "Hello [laughs warmly] *smiles* there."
    assert speakable(text, "inworld-tts-2") == "Hello *smiles* there."
    assert ends_a_sentence('He said "hello." ')
    assert not ends_a_sentence("Hello there, ")


def test_what_is_written_as_one_word_is_timed_as_one() -> None:
    text = "It is three o'clock - now."
    starts = tuple(WordStart(text.index(word), at) for word, at in [("It", 0), ("is", 0.2), ("three", 0.4), ("o'", 0.6),
                                                                   ("clock", 0.7), ("now", 1.0)])  # fmt: skip
    words = timed_words(text, Speech(bytes(2 * 1_200), 1_000, starts))

    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("It", 0, 0.2),
        ("is", 0.2, 0.4),
        ("three", 0.4, 0.6),
        ("o'clock", 0.6, 1.0),
        ("-", 1.0, 1.0),
        ("now.", 1.0, 1.2),
    ]


def test_an_order_is_read_with_its_defaults() -> None:
    found = order({"voiceId": "Craig", "modelId": "inworld-tts-1.5-max", "applyTextNormalization": "ON"})

    assert found.audio_config.speaking_rate == 1.0
    assert found.in_wav
    assert not found.wants_words
