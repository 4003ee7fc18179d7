"""What a failed request to a tool says beyond the session's sealed words."""

import pytest

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.tool_requests import MAX_ARGUMENT_BYTES, ToolFailed, ToolRequests
from contracts.tools import RecordedTool

KEYS = {"assembly_api_key": "x", "groq_api_key": "x", "inworld_api_key": "x"}
LONG = f'{{"name":"zaphod{"x" * MAX_ARGUMENT_BYTES}"}}'


@pytest.mark.parametrize(
    ("url", "arguments", "allowed", "header_set", "why"),
    [
        ("http://zaphod@localhost/zaphod", "{}", "localhost", "", "URL"),
        ("http://zaphod.localhost:0/zaphod", "{}", "localhost", "", "port"),
        ("http://zaphod-.localhost/", "{}", "localhost", "", "DNS name"),
        ("http://zaphod.localhost/zaphod", "{}", "", "", "TOOL_ALLOWED_HOSTS"),
        ("http://localhost/zaphod", LONG, "localhost", "", "longer"),
        ("http://localhost/zaphod", "{}", "localhost", "zaphod", "TOOL_HEADERS"),
        ("http://localhost:9/zaphod", '{"name":"zaphod"}', "localhost", "", "no public address"),
    ],
    ids=["url", "port", "name", "host", "arguments", "headers", "address"],
)
async def test_a_refusal_names_neither_the_host_nor_the_url_nor_an_argument(
    url: str, arguments: str, allowed: str, header_set: str, why: str
) -> None:
    requests = ToolRequests(AgentConfig.model_validate({**KEYS, "tool_allowed_hosts": allowed}), "session_1")
    tool = RecordedTool(name="book", url=url, header_set=header_set)
    with pytest.raises(ToolFailed) as failed:
        await requests.send(tool, arguments, "key")

    assert (failed.value.kind, failed.value.is_unknown) == ("refused", False)
    assert why in failed.value.told
    assert "zaphod" not in failed.value.told
    assert "localhost" not in failed.value.told
    assert len(failed.value.told) < 300, "the event holds all of it"


def test_an_answer_of_the_tool_is_told_as_its_status() -> None:
    assert ToolFailed("status 500: no table for zaphod", is_unknown=True, kind="500").told == "500"
