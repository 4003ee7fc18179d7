"""The first code of a forked worker. It imports nothing else, so that neither side pays for the other's imports."""

from __future__ import annotations

import importlib
import socket


def enter(entry: str, sock: socket.socket, *args: object) -> None:
    """Run `module:function` with the worker's end of the socket pair.

    The name is resolved here, in the child, because its module imports Pipecat and the supervisor must not.
    """
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(sock, *args)
