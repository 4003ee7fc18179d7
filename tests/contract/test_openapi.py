"""The OpenAPI document: current, valid, and every route says which problems it answers with."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway import app

FILE = Path(__file__).parents[2] / "docs/api/openapi.json"
ROUTES = {
    ("post", "/api/token"),
    ("post", "/orchestrator/session/start"),
    ("post", "/orchestrator/session/end"),
    ("post", "/api/session/start"),
    ("post", "/api/session/end"),
    ("post", "/livekit/webhook"),
    ("get", "/stats"),
    ("get", "/sessions/{session_id}"),
    ("get", "/billing/sessions/{session_id}"),
    ("get", "/billing/users/{user}"),
    ("get", "/v1/sessions"),
    ("get", "/v1/sessions/{session_id}"),
    ("delete", "/v1/sessions/{session_id}"),
    ("get", "/v1/sessions/{session_id}/start"),
    ("get", "/v1/sessions/{session_id}/timeline"),
    ("get", "/v1/sessions/{session_id}/transcript"),
    ("get", "/v1/sessions/{session_id}/transcript.json"),
    ("get", "/v1/sessions/{session_id}/transcript.txt"),
    ("get", "/v1/sessions/{session_id}/events"),
    ("get", "/v1/events"),
    ("get", "/v1/nodes"),
    ("get", "/v1/console"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return app.openapi()


def test_the_published_document_is_current(document: dict[str, Any]) -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == document, "docs/api/openapi.json is behind; run: make docs"


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_every_promised_route_is_there_and_documents_its_problems(document: dict[str, Any]) -> None:
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described >= ROUTES
    for method, path in ROUTES:
        responses = document["paths"][path][method]["responses"]
        problems = [r for r in responses.values() if "application/problem+json" in r.get("content", {})]
        assert problems, f"{method} {path} documents no problem"


def test_every_route_of_v1_is_listed_here_and_shows_an_example_of_its_answer(document: dict[str, Any]) -> None:
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    newer = {(method, path) for method, path in described if path.startswith("/v1/")}
    assert newer == {(method, path) for method, path in ROUTES if path.startswith("/v1/")}
    for method, path in newer:
        for kind, content in document["paths"][path][method]["responses"]["200"]["content"].items():
            assert "example" in content, f"{method} {path} shows no example of {kind}"
            if kind == "application/json":
                schema = {**content["schema"], "components": document["components"]}
                Draft202012Validator(schema).validate(content["example"])  # pyright: ignore[reportUnknownMemberType]
