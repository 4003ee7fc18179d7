"""The projector: the log into Redis. One runs, under a lease; the read model's own position says where it is."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from chassis.logs import get_logger
from contracts.errors import Refused
from contracts.events import Event, SessionRequested

from chassis import metrics
from gateway.domain.occupancy import ready_agents
from gateway.domain.read_model import FOLDED, SessionState, fold, fold_all, user_config
from gateway.ports import (
    BusAway,
    LogReader,
    PositionMoved,
    PrejoinedRooms,
    ReadModelAway,
    ReadModelWriter,
    Recorded,
    Registry,
)

log = get_logger(__name__)

_RETRY_S = 1.0
_MIRROR_S = 0.5

_APPLIED = metrics.counter("read_model_events_total", "Events that the projector wrote to Redis")
_SKIPPED = metrics.counter("read_model_skipped_total", "Events that could not be projected and were skipped")
_LEADING = metrics.gauge("read_model_projecting", "1 while this process writes the read model")


class Projector:
    """Keeps the read model as the log has it."""

    def __init__(
        self, reader: LogReader, writer: ReadModelWriter, registry: Registry, prejoined: PrejoinedRooms
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._registry = registry
        self._prejoined = prejoined

    async def run(self) -> None:
        """Project until cancelled, through every outage of Redis and NATS."""
        _LEADING.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._mirror_pool())
                tasks.create_task(self._follow_log())
        finally:
            _LEADING.set(0)

    async def _follow_log(self) -> NoReturn:
        away = ""
        while True:
            try:
                await self._project()
            except PositionMoved as moved:
                log.warning("read_model.position_moved", reason=str(moved))
                await asyncio.sleep(_RETRY_S / 10)
            except (ReadModelAway, BusAway) as error:
                if error.detail != away:  # one line an outage, not one a second
                    log.warning("read_model.waiting", reason=error.detail)
                away = error.detail
                await asyncio.sleep(_RETRY_S)

    async def _project(self) -> None:
        """Read on from where Redis says that we are; an emptied Redis says: from the start."""
        at = await self._writer.position()
        if at is None:
            await self._writer.write_again()
        log.info("read_model.projecting", since=at or "the start")
        async for batch in self._reader.read(None if at is None else int(at) + 1, *FOLDED):
            if batch:
                at = await self._apply(batch, at)
            elif await self._writer.position() != at:
                raise PositionMoved(f"the position is no longer {at}")

    async def _apply(self, batch: Sequence[Recorded], at: str | None) -> str:
        """Write a batch; a record that cannot be projected is skipped with an alarm, so that all others are."""
        try:
            return await self._write(batch, at)
        except (PositionMoved, Refused):
            raise
        except Exception:
            if len(batch) == 1:
                session_id = batch[0].event.session_id if batch[0].event is not None else ""
                log.exception("read_model.skipped", seq=batch[0].seq, session_id=session_id)
                _SKIPPED.inc()
                then = str(batch[0].seq)
                await self._writer.write((), {}, at=at, then=then)
                return then
        for recorded in batch:
            at = await self._apply([recorded], at)
        return str(batch[-1].seq)

    async def _write(self, batch: Sequence[Recorded], at: str | None) -> str:
        events = [recorded.event for recorded in batch if recorded.event is not None]
        states = await self._states(events)
        configs: dict[str, dict[str, str]] = {}
        for event in events:
            states[event.session_id] = fold(states.get(event.session_id), event)
            if isinstance(event, SessionRequested):
                configs[event.user_name] = user_config(event)
        then = str(batch[-1].seq)
        await self._writer.write(states.values(), configs, at=at, then=then)
        _APPLIED.inc(len(events))
        return then

    async def _states(self, events: Sequence[Event]) -> dict[str, SessionState]:
        """What is there of these events' sessions; a state that is missing without being new is read from the log."""
        first = {event.session_id: event for event in reversed(events)}
        states = await self._writer.states(first.keys())
        for session_id, event in first.items():
            if session_id not in states and not isinstance(event, SessionRequested):
                rebuilt = fold_all(await self._reader.history(session_id))
                if rebuilt is not None:
                    states[session_id] = rebuilt
        return states

    async def _mirror_pool(self) -> NoReturn:
        """Have `pool:ready` follow the registry, beside the log: a replay of a long log does not hold it up."""
        away = ""
        while True:
            try:
                await self._writer.mirror_pool(ready_agents(await self._registry.nodes(), self._prejoined.ids))
                away = ""
                await asyncio.sleep(_MIRROR_S)
            except (ReadModelAway, BusAway) as error:
                if error.detail != away:
                    log.warning("read_model.pool_not_mirrored", reason=error.detail)
                away = error.detail
                await asyncio.sleep(_RETRY_S)
