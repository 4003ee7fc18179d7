"""The tools of a job fit its packet."""

import json

from agent_runner.link.messages import decode_to_worker, encode
from contracts.api import MAX_PROMPT_BYTES
from contracts.tools import MAX_TOOLS_BYTES, RecordedTool
from tests.support.commands import go


def test_the_longest_tools_fit_beside_the_longest_prompt_that_is_taken_with_them() -> None:
    one = RecordedTool(name="t", description="d" * 1000, url="http://host/")
    schema = {"type": "object", "properties": {}, "description": ""}
    schema["description"] = "p" * (MAX_TOOLS_BYTES // 5 - len(json.dumps({**one.model_dump(), "parameters": schema})))
    tools = tuple(one.model_copy(update={"name": f"t{n}", "parameters": schema}) for n in range(5))
    prompt, line = "p" * (MAX_PROMPT_BYTES - 2), "\x01" * 1000
    job = go(token="t" * 2000, system_prompt=prompt, opening_line=line, tools=tools)
    assert decode_to_worker(encode(job)) == job
