"""A start's pure parts."""

import pytest

from contracts.errors import Refused
from gateway.domain.start import is_same_start, requested
from gateway.domain.voices import check_voice
from tests.support.events import NOW, SESSION, at
from tests.support.gateway.builders import request


def test_a_missing_opening_line_is_made_up_from_the_users_name() -> None:
    assert requested(request(), SESSION, NOW).opening_line == "Hi Ann, how can I help you today?"


def test_the_missing_line_is_in_the_sessions_language_and_may_be_replaced() -> None:
    event = requested(request(language="DE-at"), SESSION, NOW)
    assert (event.language, event.opening_line) == ("de-AT", "Hallo Ann, wie kann ich Ihnen helfen?")
    servus = requested(request(language="de-AT"), SESSION, NOW, {"de-AT": {"opening": "Servus {name}!"}})
    assert servus.opening_line == "Servus Ann!"
    assert requested(request(), SESSION, NOW).language is None


def test_a_given_opening_line_is_kept() -> None:
    assert requested(request(openingLine="Ahoy!"), SESSION, NOW).opening_line == "Ahoy!"


def test_the_user_name_is_billed_when_no_user_id_is_given() -> None:
    assert requested(request(), SESSION, NOW).user_id == "Ann"
    assert requested(request(userId="u-7"), SESSION, NOW).user_id == "u-7"


def test_the_defaults_are_those_that_existing_clients_know() -> None:
    event = requested(request(), SESSION, NOW)

    assert (event.voice_id, event.system_prompt) == ("Ashley", "You are a helpful AI voice assistant.")


def test_a_start_may_protect_the_first_line_and_else_leaves_it_to_the_node() -> None:
    assert requested(request(interruptible=False), SESSION, NOW).interruptible is False
    assert requested(request(), SESSION, NOW).interruptible is None


def test_two_tries_of_one_start_are_the_same_start_at_whatever_time() -> None:
    assert is_same_start(requested(request(), SESSION, NOW), requested(request(), SESSION, at(30)))


def test_two_starts_that_name_one_session_are_not_the_same_start() -> None:
    ours, theirs = requested(request(), SESSION, NOW), requested(request(userName="Eve"), SESSION, NOW)

    assert ours.id == theirs.id, "this is why the ids cannot tell"
    assert not is_same_start(ours, theirs)


def test_a_voice_that_the_provider_has_is_taken() -> None:
    check_voice("Ashley", frozenset({"Ashley", "Craig"}))


def test_an_unknown_voice_is_refused_with_the_voices_there_are() -> None:
    with pytest.raises(Refused) as refused:
        check_voice("Ashely", frozenset({"Ashley", "Craig"}))

    assert refused.value.problem.code == "unknown_voice"
    assert "Ashley, Craig" in refused.value.detail
    assert [e.field for e in refused.value.errors] == ["voiceId"]


def test_without_the_providers_list_any_voice_is_taken() -> None:
    check_voice("Nobody", None)
