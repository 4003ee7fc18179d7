"""A request as an ASGI server hands it to an application: for what no HTTP client can be made to send."""

from typing import Any


def scope(path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> dict[str, Any]:
    named = {"host": "127.0.0.1", **(headers or {})}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("192.0.2.7", 1),
        "server": ("127.0.0.1", 80),
    }
