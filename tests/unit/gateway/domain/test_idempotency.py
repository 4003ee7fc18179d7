"""Fingerprints and names of request keys: what is the same request, in every version."""

import hashlib
from typing import Any

import pytest
from pydantic import Field

from contracts.api import DrainRequest, StartRequest
from contracts.events import Outcome
from contracts.registry import IdempotentStart
from gateway.domain.idempotency import (
    entry_name,
    fingerprint,
    first_form_name,
    is_same,
    is_same_first_form,
    may_start_again,
    start_fingerprint,
)
from tests.support.events import ended
from tests.support.gateway.builders import first_form, request

TOOL = {"name": "look_up", "description": "Looks up.", "url": "https://tools.example/x"}


def test_bodies_that_mean_the_same_have_one_fingerprint() -> None:
    spelt_out = StartRequest.model_validate_json(
        b'{ "voiceId": "Ashley",\n "userName": " Ann ", "metadata": {}, "tools": [] }'
    )

    assert start_fingerprint(request()) == start_fingerprint(spelt_out)


@pytest.mark.parametrize("how", [{"wait": "joined"}, {"deadlineMs": 5000}, {"wait": "accepted", "deadlineMs": 100}])
def test_how_the_answer_waits_is_no_part_of_the_request(how: dict[str, object]) -> None:
    assert start_fingerprint(request()) == start_fingerprint(request(**how))


@pytest.mark.parametrize(
    "other", [{"userName": "Bob"}, {"voiceId": "Craig"}, {"metadata": {"a": "b"}}, {"tools": [TOOL]}]
)
def test_bodies_that_mean_something_else_have_another_fingerprint(other: dict[str, object]) -> None:
    assert start_fingerprint(request()) != start_fingerprint(request(**other))


def test_a_field_that_an_upgrade_adds_changes_no_fingerprint() -> None:
    class NextVersion(StartRequest):
        recording: bool = False
        labels: dict[str, str] = Field(default_factory=dict)
        region: str | None = None

    body = {"userName": "Ann", "voiceId": "Craig", "tools": [TOOL]}

    assert start_fingerprint(NextVersion.model_validate(body)) == start_fingerprint(StartRequest.model_validate(body))


def test_a_fingerprint_stays_what_it_was() -> None:
    """Replays of yesterday's keys depend on it: a change of the form takes a new prefix."""
    assert start_fingerprint(request(voiceId="Craig", userId="u-7")) == (
        "2:" + hashlib.sha256(b'{"user_id":"u-7","user_name":"Ann","voice_id":"Craig"}').hexdigest()
    )


def test_a_fingerprint_of_a_form_that_is_unknown_is_not_called_another_request() -> None:
    assert is_same(start_fingerprint(request()), "3:whatever")
    assert not is_same(start_fingerprint(request()), start_fingerprint(request(userName="Bob")))


def test_the_path_is_part_of_the_request() -> None:
    assert fingerprint(DrainRequest(), node_id="n1") != fingerprint(DrainRequest(), node_id="n2")


def test_two_api_keys_or_two_routes_may_use_one_key() -> None:
    names = {
        entry_name("k", caller="a", route="start"),
        entry_name("k", caller="b", route="start"),
        entry_name("k", caller="a", route="end"),
        entry_name("k", caller="", route="start"),
        first_form_name("k"),
    }

    assert len(names) == 5


@pytest.mark.parametrize("wait", ["accepted", "joined"])
@pytest.mark.parametrize("body", [{}, {"metadata": {"a": "b"}}, {"tools": [TOOL]}])
def test_an_entry_of_the_first_version_is_recognised(wait: str, body: dict[str, Any]) -> None:
    stored = dict(body)
    if "tools" in body:
        stored["tools"] = [
            TOOL | {"parameters": {"type": "object", "properties": {}}, "method": "POST", "timeout_s": 10.0}
        ]
    entry = IdempotentStart(session_id="session_a", body_sha256=first_form({**stored, "wait": wait}))

    assert is_same_first_form(request(**body), entry)
    assert not is_same_first_form(request(**body, userName="Bob"), entry)


@pytest.mark.parametrize(
    ("outcome", "billable_ms", "again"),
    [
        (Outcome.REJECTED, 0, True),
        (Outcome.FAILED, 0, True),
        (Outcome.FAILED, 1, False),
        (Outcome.NO_SHOW, 0, False),
        (Outcome.COMPLETED, 0, False),
    ],
)
def test_a_key_is_free_again_after_a_start_that_came_to_nothing(
    outcome: Outcome, billable_ms: int, again: bool
) -> None:
    assert may_start_again(ended(billable_ms, outcome=outcome)) is again
