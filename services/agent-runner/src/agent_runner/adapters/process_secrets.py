"""Keeps the node's secrets from its workers: out of the environment that they inherit, and out of their reach."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

from chassis.settings import variables

from agent_runner.agent_config import AgentConfig

WORKERS_VARIABLES: Final = variables(AgentConfig) | {"AGENT_ENV_FILE"}
"""A worker parses strangers' media and the answers of tools: its own variables are the agent's, and no server's."""

_PR_SET_DUMPABLE: Final = 4


def keep_in_environment(is_kept: Callable[[str], bool]) -> None:
    """Remove every other variable from this process's environment, which its children inherit.

    Before there are threads: the C library's environment has no lock.
    """
    for name in [name for name in os.environ if not is_kept(name)]:
        del os.environ[name]


def hide_process() -> None:
    """Let no other process of this user read our memory or the environment that we were started with.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
