"""The OpenAPI document: well-formed, and true about keys and links."""

from typing import Any

import pytest
from openapi_spec_validator import validate

from chassis.health import Health
from gateway.app import openapi
from gateway.domain.access import AccessRules, ApiKey
from gateway.routes.api import build_api

OPEN = {"/health", "/ready", "/metrics", "/v1/console"}


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}


def test_the_document_is_well_formed() -> None:
    validate(openapi())


@pytest.mark.parametrize(("keys", "optional"), [((), True), ((ApiKey(b"0" * 32),), False)])
def test_a_key_is_optional_only_while_none_is_configured(keys: tuple[ApiKey, ...], optional: bool) -> None:
    document = build_api(Health("gateway"), rules=AccessRules(keys), body_limit=1, deadline_s=1).openapi()

    secured = [each["security"] for each in operations(document).values() if "bearer" in str(each["security"])]
    assert len(secured) >= 10
    assert {({} in security) for security in secured} == {optional}
    assert {path for path, methods in document["paths"].items() if methods.get("get", {}).get("security") == []} == OPEN
    assert document["paths"]["/livekit/webhook"]["post"]["security"] == [{"livekit": []}]


def test_each_link_leads_to_an_operation_and_to_parameters_that_it_has() -> None:
    known = operations(openapi())
    links = [
        link
        for operation in known.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) >= 10
    for link in links:
        target = known[link["operationId"]]
        parameters = {f"{each['in']}.{each['name']}" for each in target.get("parameters", ())}
        assert set(link.get("parameters", ())) <= parameters
        assert ("requestBody" in link) <= ("requestBody" in target)


def test_each_response_names_the_requests_id() -> None:
    for operation in operations(openapi()).values():
        for status, response in operation["responses"].items():
            assert response["headers"]["X-Request-Id"]["required"], (operation["operationId"], status)
