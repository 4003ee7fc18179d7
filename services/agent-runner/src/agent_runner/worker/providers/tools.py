"""Calls a session's tools for the language model. Every error becomes an answer to the model within a deadline."""

# pyright: standard

import asyncio
import json
import socket
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from agent_runner.worker.providers.llm import LanguageModel
from chassis import logs
from contracts.tool_hosts import AllowedHost, hosts, is_allowed, may_connect, parse_url
from contracts.tools import RecordedTool

MAX_ANSWER_BYTES: Final = 16_384
MAX_ARGUMENT_BYTES: Final = 16_384
_SLACK_S: Final = 1.0
_ENOUGH: Final = "not called: there were too many calls for one question; answer now, with what you know"

log = logs.get_logger(__name__)


class Toolbox:
    """One session's tools."""

    def __init__(self, tools: Sequence[RecordedTool], allowed_hosts: str, session_id: str) -> None:
        """Make the tools callable.

        Args:
            allowed_hosts: TOOL_ALLOWED_HOSTS of this node.
        """
        self._allowed = hosts(allowed_hosts)
        self._tools = {tool.name: tool for tool in tools}
        self._session_id = session_id

    def offer(self, llm: LanguageModel) -> ToolsSchema:
        """Register the tools with the language model; return their description for its context."""
        for tool in self._tools.values():
            llm.register_function(tool.name, partial(self._answer, llm), timeout_secs=tool.deadline_s + _SLACK_S)
        # Pipecat's own FunctionSchema would keep only `properties` and `required` of a tool's JSON Schema.
        return ToolsSchema(
            standard_tools=[], custom_tools={AdapterType.OPENAI: [_described(tool) for tool in self._tools.values()]}
        )

    async def _answer(self, llm: LanguageModel, params: FunctionCallParams) -> None:
        if llm.has_called_enough:
            found = {"error": _ENOUGH}
        else:
            found = await self.call(params.function_name, params.arguments, params.tool_call_id)
        await params.result_callback(found)

    async def call(self, name: str, arguments: Mapping[str, Any], call_id: str) -> dict[str, Any]:
        """Call a tool: `{"result": ...}`, parsed if it is JSON, or `{"error": why}` in words for the model."""
        tool = self._tools[name]
        try:
            async with asyncio.timeout(tool.deadline_s):
                return {"result": await self._post(tool, arguments, call_id)}
        except TimeoutError:
            error = f"no answer in {tool.deadline_s:g} s"
        except ToolFailed as failed:
            error = str(failed)
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            error = f"the tool could not be reached ({type(failed).__name__})"
        log.warning("tool.failed", tool=name, session_id=self._session_id, error=error)
        return {"error": error}

    async def _post(self, tool: RecordedTool, arguments: Mapping[str, Any], call_id: str) -> Any:
        try:
            address = parse_url(tool.url)
        except ValueError as error:
            raise ToolFailed(f"its URL cannot be called: {error}") from error
        if not is_allowed(address, self._allowed):
            raise ToolFailed("its host is not in TOOL_ALLOWED_HOSTS of this node")
        if not isinstance(arguments, Mapping):  # Pipecat passes on any JSON
            raise ToolFailed("the arguments must be a JSON object")
        body = json.dumps(arguments)
        if len(body) > MAX_ARGUMENT_BYTES:
            raise ToolFailed(f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes")
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._session_id}:{call_id}",
            "X-Greenroom-Session": self._session_id,
        }
        connector = aiohttp.TCPConnector(resolver=_Resolver(self._allowed), use_dns_cache=False)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as http,
            http.post(address.url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            if 300 <= answer.status < 400:
                raise ToolFailed(f"it answered with a redirect ({answer.status}), which is not followed")
            text = await _read(answer.content)
            if answer.status >= 400:
                raise ToolFailed(f"status {answer.status}: {text[:500]}")
        try:
            return json.loads(text)
        except ValueError:
            return text


def _described(tool: RecordedTool) -> dict[str, Any]:
    """A tool in the form of the language model's API, with its whole schema."""
    parameters = {"properties": {}, **tool.parameters}  # Groq refuses `required` without `properties`
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


class ToolFailed(Exception):
    """A tool call failed; the text is for the model."""


class _Resolver(AbstractResolver):
    """Resolves a host and keeps the permitted addresses, so that aiohttp connects only to checked ones."""

    def __init__(self, allowed: Collection[AllowedHost]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All permitted addresses of a host.

        Raises:
            ToolFailed: No address of the host is public or listed.
        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        kept = [(entry[0], str(entry[4][0])) for entry in found if may_connect(str(entry[4][0]), port, self._allowed)]
        if not kept:
            raise ToolFailed(f"{host} leads to an address that is not public, and TOOL_ALLOWED_HOSTS does not list it")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in kept
        ]

    async def close(self) -> None:
        pass


async def _read(content: aiohttp.StreamReader) -> str:
    """The whole answer as text.

    Raises:
        ToolFailed: The answer is longer than MAX_ANSWER_BYTES.
    """
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise ToolFailed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return data.decode(errors="replace")
