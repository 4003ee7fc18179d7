"""One HTTP request to a tool: only to listed hosts, only as long as the deadline, only so many bytes."""

# pyright: standard

import asyncio
import json
import socket
import time
from collections.abc import Collection
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.tool_signature import signed
from contracts.tool_hosts import AllowedHost, ToolAddress, hosts, is_allowed, may_connect, parse_url
from contracts.tools import RecordedTool

MAX_ANSWER_BYTES: Final = 16_384
MAX_ARGUMENT_BYTES: Final = 16_384

_ANSWERED_ELSEWHERE: Final = frozenset({301, 302, 303})
"""Redirects with which servers also answer a request that they have carried out (RFC 9110, 15.4); 307 and 308 only ask
for it at another place."""


class ToolFailed(Exception):
    """A tool call failed; the text is for the model.

    Attributes:
        is_unknown: The tool may have taken effect.
        kind: `timeout`, `too_long`, a status, the class of an exception; `refused`: the node did not take it.
    """

    def __init__(self, why: str, *, is_unknown: bool = False, kind: str = "refused") -> None:
        super().__init__(why)
        self.is_unknown = is_unknown
        self.kind = kind

    @property
    def told(self) -> str:
        """The error without words of the session: an answer may quote the caller.

        A refusal is told in full, so it must name no host, URL or argument: the log keeps it after an erasure.
        """
        return str(self) if self.kind == "refused" else self.kind


class ToolRequests:
    """Sends a session's requests to its tools."""

    def __init__(self, config: AgentConfig, session_id: str) -> None:
        self._allowed = hosts(config.tool_allowed_hosts)
        self._session_id = session_id
        self._secrets = tuple(secret.get_secret_value() for secret in config.tool_signing_keys)
        self._header_sets = config.tool_headers

    async def send(self, tool: RecordedTool, arguments: str, key: str) -> Any:
        """Call a tool with JSON arguments; return its answer, parsed if it is JSON.

        Raises:
            ToolFailed: It was not called, or did not answer, or answered with an error.
        """
        try:
            async with asyncio.timeout(tool.deadline_s):
                return await self._send(tool, arguments, key)
        except TimeoutError:
            raise ToolFailed(f"no answer in {tool.deadline_s:g} s", is_unknown=True, kind="timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            is_unknown = not isinstance(failed, aiohttp.ClientConnectorError)
            kind = type(failed).__name__
            raise ToolFailed(f"the tool could not be reached ({kind})", is_unknown=is_unknown, kind=kind) from failed

    def _chosen_headers(self, tool: RecordedTool, address: ToolAddress) -> dict[str, str]:
        """The headers of the set that the tool names."""
        if not tool.header_set:
            return {}
        chosen = self._header_sets.get(tool.header_set)
        if chosen is None or not is_allowed(address, hosts(chosen.hosts)):
            raise ToolFailed("its header set is not in TOOL_HEADERS of this node for this host")
        return {name: value.get_secret_value() for name, value in chosen.headers.items()}

    async def _send(self, tool: RecordedTool, body: str, key: str) -> Any:
        try:
            address = parse_url(tool.url)
        except ValueError as error:
            raise ToolFailed(f"its URL cannot be called: {error}") from error
        if not is_allowed(address, self._allowed):
            raise ToolFailed("its host is not in TOOL_ALLOWED_HOSTS of this node")
        if len(body) > MAX_ARGUMENT_BYTES:
            raise ToolFailed(f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes")
        has_body = tool.method not in ("GET", "DELETE")
        sent = body if has_body else ""
        headers = {
            **self._chosen_headers(tool, address),
            **({"Content-Type": "application/json"} if has_body else {}),
            "Idempotency-Key": key,
            "X-Greenroom-Session": self._session_id,
            **signed(self._secrets, key, int(time.time()), sent),
        }
        query = None if has_body else _query(body)
        connector = aiohttp.TCPConnector(resolver=_Resolver(self._allowed), use_dns_cache=False)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as http,
            http.request(
                tool.method, address.url, params=query, data=sent or None, headers=headers, allow_redirects=False
            ) as answer,
        ):
            if 300 <= answer.status < 400:
                why = f"it answered with a redirect ({answer.status}), which is not followed"
                is_unknown = tool.method != "GET" and answer.status in _ANSWERED_ELSEWHERE
                raise ToolFailed(why, is_unknown=is_unknown, kind=str(answer.status))
            text = await _read(answer.content)
            if answer.status >= 400:
                why, is_unknown = f"status {answer.status}: {text[:500]}", answer.status >= 500
                raise ToolFailed(why, is_unknown=is_unknown, kind=str(answer.status))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or nested deeper than Python parses
            return text


def _query(arguments: str) -> dict[str, str]:
    """Arguments as a query: texts unchanged, other values as JSON."""
    found: dict[str, Any] = json.loads(arguments)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}


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
            raise ToolFailed("its host has no public address, and TOOL_ALLOWED_HOSTS lists no other address of it")
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
            raise ToolFailed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes", is_unknown=True, kind="too_long")
    return data.decode(errors="replace")
