"""`ROOT_PATH`: the gateway behind a proxy that publishes it under a path, such as `/voice`."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send


def route_path(scope: Scope) -> str:
    """The path without the proxy's prefix."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


class RootPath:
    """Serves the same routes whether the proxy strips the prefix or not.

    Args:
        prefix: Without a slash at its end; "": none.
        first: The first segment of each route. A path has the prefix only if one of these follows it: with the prefix
            `/api`, `/api/token` is the route itself and `/api/api/token` the route with the prefix.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, first: Iterable[str]) -> None:
        self._app = app
        self._prefix = prefix
        self._first = frozenset(first)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix and scope["type"] == "http":
            path: str = scope["path"]
            rest = path.removeprefix(self._prefix)
            kept = rest != path and rest.startswith("/") and rest.split("/")[1] in self._first
            scope = {**scope, "root_path": self._prefix, "path": path if kept else f"{self._prefix}{path}"}
        await self._app(scope, receive, send)
