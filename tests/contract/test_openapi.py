"""The OpenAPI document: current, valid, and every route says which problems it answers with."""

import json
from pathlib import Path
from typing import Any

import pytest
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
