"""The commands that arrive over NATS."""

from typing import Annotated, Final

from faststream import Context
from faststream.nats import NatsRoute, NatsRouter

from agent_runner.supervisor.commands import Commands
from chassis.nats import command_router
from contracts.commands import (
    ASSIGN,
    DESCRIBE,
    DRAIN,
    END,
    PREJOIN,
    AssignJob,
    CommandFailed,
    DescribeJob,
    DrainNode,
    EndJob,
    JobAccepted,
    JobDescribed,
    JobEnded,
    NodeDraining,
    PrejoinRoom,
    RoomPrejoined,
)

_DRAINS_AT_ONCE: Final = 8

Performs = Annotated[Commands, Context("commands")]


async def assign(job: AssignJob, commands: Performs) -> JobAccepted | CommandFailed:
    return await commands.assign(job)


async def end(command: EndJob, commands: Performs) -> JobEnded | CommandFailed:
    return await commands.end(command)


async def prejoin(order: PrejoinRoom, commands: Performs) -> RoomPrejoined | CommandFailed:
    return await commands.prejoin(order)


async def describe(command: DescribeJob, commands: Performs) -> JobDescribed | CommandFailed:
    return await commands.describe(command)


async def drain(command: DrainNode, commands: Performs) -> NodeDraining:
    return await commands.drain(command)


def router(address: str, *, at_once: int) -> NatsRouter:
    """The commands to one address of the node.

    Args:
        at_once: Commands of one kind in flight; the rest wait.
    """
    return command_router(
        handlers=(
            NatsRoute(assign, ASSIGN.at(address).subject, max_workers=at_once),
            NatsRoute(end, END.at(address).subject, max_workers=at_once),
            NatsRoute(prejoin, PREJOIN.at(address).subject, max_workers=at_once),
            NatsRoute(describe, DESCRIBE.at(address).subject, max_workers=at_once),
            NatsRoute(drain, DRAIN.at(address).subject, max_workers=_DRAINS_AT_ONCE),
        )
    )
