"""Which tools a session may have."""

from collections.abc import Collection, Sequence

from contracts.errors import TOOL_NOT_ALLOWED, FieldError, Refused
from contracts.tool_hosts import AllowedHost, is_allowed, parse_url
from contracts.tools import Tool


def check_tools(tools: Sequence[Tool], allowed: Collection[AllowedHost]) -> None:
    """Refuse tools at hosts that are not listed; the worker that calls them looks again.

    Raises:
        Refused: `tool_not_allowed`, naming each field.
    """
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
        raise Refused(TOOL_NOT_ALLOWED, f"A tool may only be called at a listed host; listed: {listed}.", errors=errors)
