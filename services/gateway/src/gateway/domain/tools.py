"""What a start's tools may be: their hosts, and the schemas of their parameters."""

from collections.abc import Collection, Sequence

from contracts.errors import MOST_FIELDS, TOOL_NOT_ALLOWED, FieldError, Refused, invalid_fields
from contracts.tool_hosts import AllowedHost, is_allowed, parse_url
from contracts.tools import Tool
from gateway.domain.tool_schemas import schema_errors


def check_tools(tools: Sequence[Tool], allowed: Collection[AllowedHost]) -> None:
    """Refuse tools with invalid schemas, and at unlisted hosts; the worker checks the hosts again before each call.

    Raises:
        Refused: `invalid_request` or `tool_not_allowed`, with each field.
    """
    _check_schemas(tools)
    _check_hosts(tools, allowed)


def _check_schemas(tools: Sequence[Tool]) -> None:
    errors = [e for n, tool in enumerate(tools) for e in schema_errors(tool.parameters, f"tools.{n}.parameters")]
    if errors:
        raise invalid_fields(tuple(errors[:MOST_FIELDS]))


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
