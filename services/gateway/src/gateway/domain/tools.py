"""What a start's tools may be: their hosts, and the schemas of their parameters."""

from collections.abc import Collection, Sequence
from typing import Final

from contracts.errors import INVALID_REQUEST, TOOL_NOT_ALLOWED, FieldError, Refused
from contracts.tool_hosts import AllowedHost, is_allowed, parse_url
from contracts.tools import Tool
from gateway.domain.tool_schemas import schema_errors

_MOST_ERRORS: Final = 20  # as many as other refusals name


def check_tools(tools: Sequence[Tool], allowed: Collection[AllowedHost]) -> None:
    """Refuse tools with invalid schemas, and at unlisted hosts; the worker checks the hosts again before each call.

    Raises:
        Refused: `invalid_request` or `tool_not_allowed`, with each field.
    """
    _check_schemas(tools)
    _check_hosts(tools, allowed)


def _check_schemas(tools: Sequence[Tool]) -> None:
    errors = [e for n, tool in enumerate(tools) for e in schema_errors(tool.parameters, f"tools.{n}.parameters")]
    if errors := errors[:_MOST_ERRORS]:
        names = ", ".join(error.field for error in errors)
        raise Refused(INVALID_REQUEST, f"Invalid fields: {names}.", errors=tuple(errors))


def _check_hosts(tools: Sequence[Tool], allowed: Collection[AllowedHost]) -> None:
    addresses = [parse_url(tool.url) for tool in tools]
    errors = tuple(
        FieldError(
            field=f"tools.{n}.url",
            message=f"{address.scheme}://{address.host} at port {address.port} is not in TOOL_ALLOWED_HOSTS",
        )
        for n, address in enumerate(addresses)
        if not is_allowed(address, allowed)
    )
    if errors:
        listed = ", ".join(map(str, allowed)) or "none"
        raise Refused(TOOL_NOT_ALLOWED, f"Tools may be called at listed hosts only. Listed: {listed}.", errors=errors)
