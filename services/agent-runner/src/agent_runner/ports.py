"""What the supervisor needs of the world, in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contracts.events import Event
from contracts.registry import NodeState, PrejoinedRoom

from agent_runner.domain.link import ToSupervisor, ToWorker


class WorkerListener(Protocol):
    """Who is told what a worker says; called from the event loop, in order, and must not block."""

    def on_message(self, message: ToSupervisor) -> None:
        """The worker said this."""
        ...

    def on_gone(self) -> None:
        """The process is over; everything it managed to say was delivered before. Called once, the last call."""
        ...


class WorkerProcess(Protocol):
    """One forked worker."""

    listener: WorkerListener

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def is_gone(self) -> bool:
        """Its process is over."""
        ...

    def send(self, message: ToWorker, *, history: bytes | None = None) -> None:
        """Say something to it, without blocking; to a worker that is gone it does nothing.

        Args:
            history: For a `Go`: handed over as a file descriptor.
        """
        ...

    def kill(self) -> None:
        """SIGKILL; `on_gone` follows."""
        ...


class ForkFailed(Exception):
    """No worker could be forked; the text says why."""


class Forks(Protocol):
    """Where workers come from."""

    async def fork(self, listener: WorkerListener) -> WorkerProcess:
        """Start one.

        Raises:
            ForkFailed: It could not be started.
        """
        ...


class LogUnavailable(Exception):
    """The session's log could not be read in time."""


class SessionLog(Protocol):
    """The log of the sessions, as far as a node reads it."""

    async def last_epoch(self, session_id: str, *, deadline_s: float) -> int | None:
        """The epoch of the last `assigned`; None when there is none.

        Raises:
            LogUnavailable: No answer in time.
        """
        ...

    async def history(self, session_id: str, *, deadline_s: float) -> Sequence[Event]:
        """The session's start and its turns.

        Raises:
            LogUnavailable: Not complete in time.
        """
        ...


class Outbox(Protocol):
    """The way of one job's events to the log: in order, each once, however long the bus is away."""

    def put(self, event: Event, *, expect_last: int | None = None) -> None:
        """Have it published after all that was put before.

        Args:
            expect_last: As in `Bus.publish`; a conflict means that the fact is in the log already.
        """
        ...

    async def flush(self, deadline_s: float) -> bool:
        """Wait until everything is in the log; False when it is not by the deadline."""
        ...

    def close(self) -> None:
        """Nothing more comes: it goes once it is empty."""
        ...


class Outboxes(Protocol):
    """Makes outboxes."""

    def open(self, session_id: str, epoch: int) -> Outbox:
        """A new job's."""
        ...


class NameTaken(Exception):
    """Another process runs under this node's name.

    Attributes:
        node_id: The name.
    """

    def __init__(self, node_id: str, holder: str) -> None:
        super().__init__(f"another process runs as node {node_id} ({holder})")
        self.node_id = node_id


class Registry(Protocol):
    """Where the node says that it lives."""

    async def announce(self, state: NodeState) -> bool:
        """Write the node's state for the next 4 s; False when it could not be written in time.

        Raises:
            NameTaken: Another process has the node's name.
        """
        ...

    async def withdraw(self, node_id: str) -> None:
        """Take it away, best effort."""
        ...


class CallLogs(Protocol):
    """Carries a session's log lines to where people look for them; best effort, never in a call's way."""

    def follow(self, session_id: str, file: Path) -> None:
        """Carry over what is written to this file from now on."""
        ...

    def leave(self, session_id: str) -> None:
        """The job is over: carry over the rest and let it expire."""
        ...


class KeyGone(Exception):
    """The room's key is not there any more: somebody has taken the room, or it was not renewed in time."""


class KeysUnavailable(Exception):
    """The bucket did not answer in time, or refused."""


class RoomKeys(Protocol):
    """Where rooms joined ahead are offered: whoever deletes a room's key at its revision has the room.

    Everything raises `KeysUnavailable`.
    """

    async def offer(self, room: PrejoinedRoom) -> int:
        """Make the key; returns its revision.

        Raises:
            KeyGone: Somebody made it already.
        """
        ...

    async def renew(self, room: PrejoinedRoom, revision: int) -> int:
        """Keep the key for the next 15 s; returns its new revision.

        Raises:
            KeyGone: It is not there any more.
        """
        ...

    async def withdraw(self, session_id: str, revision: int) -> None:
        """Delete the key, so that nobody can take the room.

        Raises:
            KeyGone: Somebody was faster.
        """
        ...
