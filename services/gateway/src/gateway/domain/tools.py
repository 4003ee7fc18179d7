"""Which tools a session may have."""

from collections.abc import Collection, Sequence

from contracts.errors import TOOL_NOT_ALLOWED, FieldError, Refused
from contracts.tools import Tool, host_of, is_allowed


def check_tools(tools: Sequence[Tool], allowed: Collection[str]) -> None:
    """Refuse tools at hosts that are not listed; the worker that calls them looks again.

    Raises:
        Refused: `tool_not_allowed`, naming each field.
    """
    errors = tuple(
        FieldError(field=f"tools.{n}.url", message=f"{host_of(tool.url)} is not in TOOL_ALLOWED_HOSTS")
        for n, tool in enumerate(tools)
        if not is_allowed(tool.url, allowed)
    )
    if errors:
        listed = ", ".join(allowed) or "none"
        raise Refused(TOOL_NOT_ALLOWED, f"A tool may only be called at a listed host; listed: {listed}.", errors=errors)
