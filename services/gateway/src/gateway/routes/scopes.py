"""The scopes of the caller's key, passed from the guard to the routes."""

from collections.abc import Iterable, MutableMapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from contracts.errors import FORBIDDEN, Refused
from gateway.domain.access import Scope
from gateway.routes.audit import refused_line

_STATE = "key_scopes"


def grant(scope: MutableMapping[str, Any], scopes: Iterable[str]) -> None:
    scope.setdefault("state", {})[_STATE] = frozenset(scopes)


def granted(request: Request) -> frozenset[str]:
    """The caller's scopes; empty if the guard did not run."""
    return getattr(request.state, _STATE, frozenset[str]())


def needs(*scopes: Scope) -> Dependency:
    """A route's dependency: without one of these scopes the request is refused (`forbidden`)."""

    async def check(request: Request) -> None:
        if granted(request).isdisjoint(scopes):
            refused_line(request.scope, reason="scope")
            raise Refused(FORBIDDEN, f"The API key lacks the scope {' or '.join(scopes)}.")

    return Depends(check)


async def _is_admin(request: Request) -> bool:
    return Scope.ADMIN in granted(request)


IsAdmin = Annotated[bool, Depends(_is_admin)]
"""Whether the caller may see processes, files and addresses."""
