"""Hides the node's secrets from its workers: removes them from the inherited environment and protects /proc."""

import ctypes
import os
from collections.abc import Callable
from typing import Final

from agent_runner.agent_config import AgentConfig
from chassis.settings import variables

WORKERS_VARIABLES: Final = variables(AgentConfig) | {"AGENT_ENV_FILE"}
"""A worker parses untrusted media and answers of tools, so it gets the agent's variables and no server's."""

_PR_SET_DUMPABLE: Final = 4


def keep_in_environment(is_kept: Callable[[str], bool]) -> None:
    """Remove every other variable from this process's environment, which its children inherit.

    Call it before any thread starts: the C library's environment has no lock.
    """
    for name in [name for name in os.environ if not is_kept(name)]:
        del os.environ[name]


def hide_process() -> None:
    """Prevent other processes of this user from reading our memory and our initial environment.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
