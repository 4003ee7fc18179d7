"""The first code of a forked worker. It imports only the standard library: both sides import this module."""

import importlib
import socket


def enter(entry: str, sock: socket.socket, *args: object) -> None:
    """Run `module:function` with the worker's end of the socket pair.

    The name is resolved here, in the child, because its module imports Pipecat, which the supervisor must not import.
    """
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(sock, *args)
