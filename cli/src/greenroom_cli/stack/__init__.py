"""The local stack: servers, sandbox and services as supervised processes. See `running_stack`."""

from greenroom_cli.stack.options import EVERYTHING, SERVERS, SERVICES, Part, StackOptions, system_environment
from greenroom_cli.stack.process import ProcessFailed, StackProcess
from greenroom_cli.stack.stack import Stack, running_stack

__all__ = [
    "EVERYTHING",
    "SERVERS",
    "SERVICES",
    "Part",
    "ProcessFailed",
    "Stack",
    "StackOptions",
    "StackProcess",
    "running_stack",
    "system_environment",
]
