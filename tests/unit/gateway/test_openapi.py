"""The API's description."""

from typing import Any

import pytest

from contracts.errors import PROBLEMS
from gateway.app import openapi

DOCUMENT = openapi()
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    if path not in ("/health", "/ready", "/metrics")
    for method, operation in methods.items()
]


def test_every_route_of_the_issue_is_described() -> None:
    assert {
        "/api/token",
        "/orchestrator/session/start",
        "/orchestrator/session/end",
        "/api/session/start",
        "/api/session/end",
        "/livekit/webhook",
        "/health",
        "/stats",
        "/sessions",
        "/sessions/{session_id}",
        "/billing/sessions/{session_id}",
        "/billing/users",
        "/billing/users/{user}",
    } <= set(DOCUMENT["paths"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[f"{m} {p}" for p, m, _ in OPERATIONS])
def test_every_route_names_its_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]

    assert {"401", "422", "500"} <= set(responses)
    assert "200" in responses
    for status, response in responses.items():
        if int(status) >= 400:
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_every_documented_problem_is_one_that_there_is() -> None:
    for _, _, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            for line in response["description"].split("\n\n"):
                if int(status) >= 400:
                    code = line.split("`")[1]
                    assert PROBLEMS[code].status == int(status)


def problems_of(operation: dict[str, Any]) -> set[str]:
    return {
        line.split("`")[1]
        for status, response in operation["responses"].items()
        if int(status) >= 400
        for line in response["description"].split("\n\n")
    }


def test_what_stands_before_every_route_is_documented() -> None:
    for path, _, operation in OPERATIONS:
        assert {"overloaded", "deadline_exceeded"} <= problems_of(operation), path
        assert ("body_too_slow" in problems_of(operation)) == ("body_too_large" in problems_of(operation)), path


def test_a_token_can_meet_an_unreadable_session_and_a_full_bucket() -> None:
    assert {"session_unreadable", "seats_full"} <= problems_of(DOCUMENT["paths"]["/api/token"]["post"])
    assert "seats_full" in problems_of(DOCUMENT["paths"]["/api/session/start"]["post"])


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_the_description_is_the_same_each_time() -> None:
    assert openapi() == DOCUMENT
