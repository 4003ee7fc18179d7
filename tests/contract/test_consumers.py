"""The catalogue names the services that read a message: compared with what their adapters really ask of NATS."""

import ast
import re
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_runner.adapters.nats_registry import NatsRegistry as NodeRegistry
from agent_runner.adapters.nats_room_keys import NatsRoomKeys
from agent_runner.adapters.nats_session_log import NatsSessionLog as NodeLog
from billing.adapters.nats_session_log import NatsSessionLog as BillingLog
from contracts import metering
from contracts.catalogue import HISTORY_READERS, MESSAGES
from contracts.events import EVENTS, TimeLost
from gateway.adapters.nats_idempotency import NatsIdempotencyKeys
from gateway.adapters.nats_log_tail import LogTail
from gateway.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from gateway.adapters.nats_registry import NatsRegistry
from gateway.adapters.nats_seats import NatsSeats
from gateway.adapters.nats_session_log import NatsSessionLog as GatewayLog
from gateway.adapters.nats_start_queue import NatsStartQueue
from gateway.adapters.nats_words import NatsWords as GatewayWords
from gateway.domain.read_model import FOLDED
from scheduler.adapters.nats_nodes import NatsNodes
from scheduler.adapters.nats_prejoined_rooms import NatsPrejoinedRooms as SchedulerRooms
from scheduler.adapters.nats_session_log import NatsSessionLog as SchedulerLog
from scheduler.adapters.nats_slots import NatsSlots
from scheduler.adapters.nats_words import NatsWords as SchedulerWords

SERVICES = Path(__file__).parents[2] / "services"
PACKAGES = {"gateway": "gateway", "scheduler": "scheduler", "billing": "billing", "agent-runner": "agent_runner"}
SESSION = "session_1"
READERS = {"replay", "each", "last_of_each", "subjects"}
BY_NAME = {"last", "last_seq", "since", "follow"}


class NoMessages:
    caught_up = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass

    def batches(self) -> "NoMessages":
        return self


class Recorder:
    """Stands for the bus; remembers the subjects and buckets that it is asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def replay(self, wanted: Any, **_: Any) -> NoMessages:
        self.asked |= {wanted} if isinstance(wanted, str) else set(wanted)
        return NoMessages()

    async def last(self, subject: str, **_: Any) -> None:
        self.asked.add(subject)

    async def each(self, subject: str, **_: Any) -> list[Any]:
        self.asked.add(subject)
        return []

    async def use_of(self, _spec: Any) -> SimpleNamespace:
        return SimpleNamespace(last_seq=0)

    def on_reconnect(self, _callback: Any) -> None: ...

    def bucket(self, spec: Any) -> "Recorder":
        self.asked.add(f"$KV.{spec.name}.*")
        return self


async def scheduler(bus: Any) -> None:
    log = SchedulerLog(bus)
    log.follow(0)
    log.follow_rooms(0)
    NatsNodes(bus, assign_timeout_s=1, end_timeout_s=1)
    NatsSlots(bus)
    SchedulerRooms(bus)
    SchedulerWords(bus, kept_s=1)


async def billing(bus: Any) -> None:
    async for _ in BillingLog(bus).follow(0):
        pass


async def gateway(bus: Any) -> None:
    words = GatewayWords(bus, seals=lambda: True, now=lambda: datetime.now(UTC), deadline_s=1)
    log, tail = GatewayLog(bus, words, NatsStartQueue(bus), deadline_s=1), LogTail(bus)
    with pytest.raises(
        RuntimeError, match="StopAsyncIteration"
    ):  # the replay of `NoMessages` ends, a real one does not
        await anext(log.read(None, *FOLDED))
    await tail.run()
    NatsRegistry(bus, deadline_s=1)
    NatsPrejoinedRooms(bus)
    NatsStartQueue(bus)
    NatsSeats(bus, deadline_s=1)
    NatsIdempotencyKeys(bus, deadline_s=1)


async def agent_runner(bus: Any) -> None:
    log = NodeLog(bus)
    await log.last_epoch(SESSION, deadline_s=1)
    await log.history(SESSION, deadline_s=1)
    NodeRegistry(bus, "a")
    NatsRoomKeys(bus)


def named(package: str) -> set[str]:
    """The events that the service reads by their class: `log.last(SessionEnded, ...)`."""
    names = {cls.__name__: cls.event for cls in EVENTS}
    found: set[str] = set()
    for call in calls(package):
        if isinstance(call.func, ast.Attribute) and call.func.attr in BY_NAME:
            arguments = (arg.value if isinstance(arg, ast.Attribute) else arg for arg in call.args)
            found |= {names[arg.id] for arg in arguments if isinstance(arg, ast.Name) and arg.id in names}
    return found


def used(package: str) -> set[str]:
    """The events that the service, or the rule of the bill that it applies, tells apart in a session's history."""
    names = {cls.__name__: cls.event for cls in EVENTS}
    source = nodes(SERVICES.glob(f"*/src/{package}/**/*.py"))
    if any(isinstance(n, ast.ImportFrom) and any(a.name == "meter" for a in n.names) for n in source):
        source += nodes([Path(metering.__file__)])
    kinds: list[ast.AST] = [node.cls for node in source if isinstance(node, ast.MatchClass)]
    for node in source:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            kinds += ast.walk(node.args[1])
    found = {names[kind.id] for kind in kinds if isinstance(kind, ast.Name) and kind.id in names}
    return found - {TimeLost.event} if package == "scheduler" else found  # it writes that one, and never reads it


def nodes(files: Iterable[Path]) -> list[ast.AST]:
    return [node for file in files for node in ast.walk(ast.parse(file.read_text()))]


def calls(package: str) -> list[ast.Call]:
    return [node for node in nodes(SERVICES.glob(f"*/src/{package}/**/*.py")) if isinstance(node, ast.Call)]


def one_name(subject: str) -> str:
    """`session.ended`, `room`, `kv.nodes`: an address of the catalogue and a subject of the code, brought together."""
    if subject.startswith("$KV."):
        return f"kv.{subject.split('.')[1]}"
    return re.sub(r"^voice\.v1\.(room|session)\.([a-z_*{}]+)\..*", lambda m: m[1] if m[1] == "room" else m[2], subject)


@pytest.mark.parametrize("act", [gateway, scheduler, billing, agent_runner])
async def test_a_service_reads_what_the_catalogue_says_that_it_reads(act: Any) -> None:
    package = act.__name__
    service, recorder = package.replace("_", "-"), Recorder()

    await act(recorder)

    promised = {m.address for m in MESSAGES if service in m.consumers and m.kind in ("event", "value")}
    leases = {"kv.leaders"}  # made in `app.py` by each process that may lead
    found = {one_name(s) for s in recorder.asked} | named(package)
    if service in HISTORY_READERS:
        found |= used(package)
    assert {one_name(a) for a in promised} - leases == found - leases


def test_the_services_that_read_whole_sessions_are_named() -> None:
    readers = {
        package.replace("_", "-")
        for package in PACKAGES.values()
        for call in calls(package)
        if ast.unparse(call.func) == "self._bus.history"
    }

    assert readers == set(HISTORY_READERS)


@pytest.mark.parametrize(("package", "places"), [("gateway", 3), ("scheduler", 6), ("billing", 1), ("agent_runner", 1)])
def test_no_service_reads_the_log_elsewhere(package: str, places: int) -> None:
    """A further place belongs into the functions above, and its events into the catalogue."""
    found = [c for c in calls(package) if isinstance(c.func, ast.Attribute) and c.func.attr in READERS]

    assert len(found) == places
