"""A start with tools."""

import dataclasses

import httpx

from contracts.tool_hosts import hosts
from tests.support.gateway.world import World

TOOL = {"name": "look", "description": "Looks.", "url": "https://tools.example.org/look"}
BODY = {"userName": "Ada", "tools": [TOOL]}
INVALID = {**TOOL, "parameters": {"type": "object", "properties": {"city": {"type": "text"}}}}


async def test_a_tool_at_a_host_that_is_not_listed_refuses_the_start_with_its_field_and_the_fix(
    api: httpx.AsyncClient, world: World
) -> None:
    answer = await api.post("/orchestrator/session/start", json=BODY)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "tool_not_allowed")
    assert "TOOL_ALLOWED_HOSTS" in problem["fix"]
    assert [error["field"] for error in problem["errors"]] == ["tools.0.url"]
    assert world.rooms.made == 0


async def test_a_tool_at_a_listed_host_is_in_the_log(world: World) -> None:
    app = world.app()
    app.state.services = dataclasses.replace(app.state.services, tool_hosts=hosts("tools.example.org"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as api:
        answer = await api.post("/orchestrator/session/start", json=BODY)
        plain = await api.post("/orchestrator/session/start", json={"userName": "Ada"})
    assert (answer.status_code, plain.status_code) == (200, 200)
    first, second = world.log.requests()
    assert [tool.name for tool in first.tools] == ["look"]
    assert second.tools == ()


async def test_a_tool_with_an_invalid_schema_refuses_the_start_with_the_path_in_the_schema_and_what_it_must_be(
    api: httpx.AsyncClient, world: World
) -> None:
    answer = await api.post("/orchestrator/session/start", json={"userName": "Ada", "tools": [INVALID]})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert problem["detail"] == "Invalid fields: tools.0.parameters.properties.city.type."
    (error,) = problem["errors"]
    assert error["field"] == "tools.0.parameters.properties.city.type"
    assert "must be a type of JSON Schema (array, boolean" in error["message"]
    assert world.rooms.made == 0
