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


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_the_description_is_the_same_each_time() -> None:
    assert openapi() == DOCUMENT
