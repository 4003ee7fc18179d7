"""The interfaces through which the supervisor reaches processes, NATS and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from agent_runner.link.messages import ToWorker, WorkerListener
from contracts.events import Event
from contracts.registry import NodeState, PrejoinedRoom


class WorkerProcess(Protocol):
    """One forked worker."""

    listener: WorkerListener

    @property
    def pid(self) -> int: ...

    @property
    def is_gone(self) -> bool:
        """The process has exited."""
        ...

    def send(self, message: ToWorker, *, history: bytes | None = None) -> None:
        """Send a message without blocking; no effect on a worker that is gone.

        Args:
            history: For a `Go`: passed as a file descriptor.
        """
        ...

    def kill(self) -> None:
        """SIGKILL; `on_gone` follows."""
        ...


class ForkFailed(Exception):
    """The text says why no worker could be forked."""


class Forks(Protocol):
    """The source of workers."""

    async def fork(self, listener: WorkerListener) -> WorkerProcess:
        """Start a worker.

        Raises:
            ForkFailed: The forkserver died, refused or timed out.
        """
        ...


class LogUnavailable(Exception):
    """The session's log could not be read in time."""


class SessionLog(Protocol):
    """The parts of the sessions' log that a node reads."""

    async def last_epoch(self, session_id: str, *, deadline_s: float) -> int | None:
        """The epoch of the last `assigned`; None: the session has none.

        Raises:
            LogUnavailable: No answer by the deadline.
        """
        ...

    async def history(self, session_id: str, *, deadline_s: float) -> Sequence[Event]:
        """The session's `requested`, its turns and its calls of tools, in the order of the log.

        Raises:
            LogUnavailable: Not all read by the deadline.
        """
        ...


class Outbox(Protocol):
    """Publishes one job's events: in order, each once in the log, and retried while the bus is unreachable."""

    def put(self, event: Event, *, expect_last: int | None = None) -> None:
        """Publish the event after all events that were put before it.

        Args:
            expect_last: As in `Bus.publish`; a conflict means that the log already has the fact.
        """
        ...

    async def flush(self, deadline_s: float) -> bool:
        """Wait until all events are in the log; False: the deadline passed first."""
        ...

    def close(self) -> None:
        """No event follows: stop once the outbox is empty."""
        ...


class Outboxes(Protocol):
    """The outboxes of a node's jobs."""

    def open(self, session_id: str, epoch: int) -> Outbox: ...


class NameTaken(Exception):
    """Another process runs under this node's name.

    Attributes:
        node_id: The name.
    """

    def __init__(self, node_id: str, holder: str) -> None:
        super().__init__(f"another process runs as node {node_id} ({holder})")
        self.node_id = node_id


class Registry(Protocol):
    """The node's entry, by which schedulers know that it lives."""

    async def announce(self, state: NodeState) -> bool:
        """Write the node's state for the next 4 s; False: it could not be written in time.

        Raises:
            NameTaken: Another process has the node's name.
        """
        ...

    async def delete(self, node_id: str) -> None:
        """Delete the node's entry, best effort."""
        ...


class CallLogs(Protocol):
    """Copies sessions' log lines to the read model; best effort, and never delays a call."""

    def follow(self, session_id: str, file: Path) -> None:
        """Copy lines that are written to this file from now on."""
        ...

    def leave(self, session_id: str) -> None:
        """The job has ended: copy the remaining lines and let them expire."""
        ...


class KeyGone(Exception):
    """The room's key is gone: a session claimed the room, or the key expired."""


class KeysUnavailable(Exception):
    """The bucket did not answer by the deadline, or refused."""


class RoomKeys(Protocol):
    """The keys that offer prejoined rooms: a gateway claims a room by deleting its key at its revision.

    Every method raises `KeysUnavailable`.
    """

    async def offer(self, room: PrejoinedRoom) -> int:
        """Create the key; returns its revision.

        Raises:
            KeyGone: The key exists already.
        """
        ...

    async def renew(self, room: PrejoinedRoom, revision: int) -> int:
        """Keep the key for the next 15 s; returns its new revision.

        Raises:
            KeyGone: The key is gone.
        """
        ...

    async def delete(self, session_id: str, revision: int) -> None:
        """Delete the key, so that the room can no longer be claimed.

        Raises:
            KeyGone: A gateway deleted the key first: it has the room.
        """
        ...
