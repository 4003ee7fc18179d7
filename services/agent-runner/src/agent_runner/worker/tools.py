"""Calls a session's tools for the language model. Whatever goes wrong is an answer to the model, and nothing hangs."""

# pyright: standard

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from contracts.tools import Tool, hosts, is_allowed, may_connect
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from chassis import logs

MAX_ANSWER_BYTES: Final = 16_384
MAX_ARGUMENT_BYTES: Final = 16_384
_SLACK_S: Final = 1.0

log = logs.get_logger(__name__)


class Toolbox:
    """One session's tools."""

    def __init__(self, tools: Sequence[Tool], allowed_hosts: str, session_id: str) -> None:
        """Take the tools; nothing is connected.

        Args:
            allowed_hosts: TOOL_ALLOWED_HOSTS of this node.
        """
        self._allowed = frozenset(hosts(allowed_hosts))
        self._tools = {tool.name: tool for tool in tools}
        self._session_id = session_id

    def offer(self, llm: Any) -> ToolsSchema:
        """Make the language model able to call them; returns what its context has to say about them."""
        for tool in self._tools.values():
            llm.register_function(tool.name, self._answer, timeout_secs=tool.timeout_s + _SLACK_S)
        return ToolsSchema(
            standard_tools=[
                FunctionSchema(
                    name=tool.name,
                    description=tool.description,
                    properties=tool.parameters.get("properties", {}),
                    required=tool.parameters.get("required", []),
                )
                for tool in self._tools.values()
            ]
        )

    async def _answer(self, params: FunctionCallParams) -> None:
        found = await self.call(params.function_name, params.arguments, params.tool_call_id)
        await params.result_callback(found)

    async def call(self, name: str, arguments: Mapping[str, Any], call_id: str) -> dict[str, Any]:
        """Call a tool: `{"result": ...}`, JSON if it is some, or `{"error": why}` in words for the model."""
        tool = self._tools[name]
        try:
            async with asyncio.timeout(tool.timeout_s):
                return {"result": await self._post(tool, arguments, call_id)}
        except TimeoutError:
            error = f"no answer in {tool.timeout_s:g} s"
        except ToolFailed as failed:
            error = str(failed)
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            error = f"the tool could not be reached ({type(failed).__name__})"
        log.warning("tool.failed", tool=name, session_id=self._session_id, error=error)
        return {"error": error}

    async def _post(self, tool: Tool, arguments: Mapping[str, Any], call_id: str) -> Any:
        if not is_allowed(tool.url, self._allowed):
            raise ToolFailed("its host is not in TOOL_ALLOWED_HOSTS of this node")
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
            http.post(tool.url, data=body, headers=headers, allow_redirects=False) as answer,
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


class ToolFailed(Exception):
    """A call without a result; the text is for the model."""


class _Resolver(AbstractResolver):
    """Finds addresses, and keeps those that may be connected to: what is checked is what is used."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All permitted addresses of a host.

        Raises:
            ToolFailed: It has only such as are not public and not listed.
        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        kept = [(entry[0], str(entry[4][0])) for entry in found if may_connect(str(entry[4][0]), self._allowed)]
        if not kept:
            raise ToolFailed(f"{host} leads to an address that is not public, and TOOL_ALLOWED_HOSTS does not list it")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in kept
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def _read(content: aiohttp.StreamReader) -> str:
    """The whole answer as text, if it is not too long."""
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise ToolFailed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return data.decode(errors="replace")
