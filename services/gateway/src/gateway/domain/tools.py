"""The hosts at which tools may be called."""

from collections.abc import Collection, Sequence

from contracts.errors import TOOL_NOT_ALLOWED, FieldError, Refused
from contracts.tool_hosts import AllowedHost, is_allowed, parse_url
from contracts.tools import Tool


def check_tools(tools: Sequence[Tool], allowed: Collection[AllowedHost]) -> None:
    """Refuse tools at unlisted hosts; the worker checks again before each call.

    Raises:
        Refused: `tool_not_allowed`, with each field.
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
        raise Refused(TOOL_NOT_ALLOWED, f"Tools may be called at listed hosts only. Listed: {listed}.", errors=errors)
