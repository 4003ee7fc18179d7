"""What the caller's key may do, from the guard to the routes."""

from collections.abc import Iterable, MutableMapping
from typing import Annotated, Any

from contracts.errors import FORBIDDEN, Refused
from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from gateway.domain.access import Scope
from gateway.routes.audit import refused_line

_STATE = "key_scopes"


def grant(scope: MutableMapping[str, Any], scopes: Iterable[str]) -> None:
    """Note for the routes what the caller may do."""
    scope.setdefault("state", {})[_STATE] = frozenset(scopes)


def granted(request: Request) -> frozenset[str]:
    """What the caller may do; nothing where the guard did not run."""
    return getattr(request.state, _STATE, frozenset[str]())


def needs(scope: Scope) -> Dependency:
    """A route's dependency: the key has this scope, or the answer is a 403 that names it."""

    async def check(request: Request) -> None:
        if scope not in granted(request):
            refused_line(request.scope, reason="scope")
            raise Refused(FORBIDDEN, f"The API key lacks the scope {scope}.")

    return Depends(check)


async def _is_admin(request: Request) -> bool:
    return Scope.ADMIN in granted(request)


IsAdmin = Annotated[bool, Depends(_is_admin)]
"""Whether the caller may see what is for operators: processes, files, addresses."""
