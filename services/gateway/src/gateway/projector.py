"""The projector writes the read model in Redis from the log.

One gateway runs it, under a lease; its position in the log is part of the read model.
"""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from chassis import metrics
from chassis.logs import get_logger
from contracts.events import Event, SessionErased, SessionRequested
from gateway.domain.erasure import configs_of
from gateway.domain.logged import LoggedEvent
from gateway.domain.occupancy import ready_agents
from gateway.domain.read_model import FOLDED, SessionState, fold, fold_records, user_config
from gateway.ports import (
    LogReader,
    PositionMoved,
    PrejoinedRooms,
    ReadModelWriter,
    Registry,
    Unavailable,
    Words,
)

log = get_logger(__name__)

_RETRY_S = 1.0
_MIRROR_S = 0.5

_APPLIED = metrics.counter("read_model_events_total", "Events that the projector wrote to Redis")
_SKIPPED = metrics.counter("read_model_skipped_total", "Events that the projector could not apply and skipped")
_LEADING = metrics.gauge("read_model_projecting", "1 while this process writes the read model")


class Projector:
    def __init__(
        self, reader: LogReader, writer: ReadModelWriter, registry: Registry, prejoined: PrejoinedRooms, words: Words
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._registry = registry
        self._prejoined = prejoined
        self._words = words

    async def run(self) -> None:
        """Run until cancelled; outages of Redis and NATS do not end it."""
        _LEADING.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._mirror_pool())
                tasks.create_task(self._follow_log())
        finally:
            _LEADING.set(0)

    async def _follow_log(self) -> NoReturn:
        logged = ""
        while True:
            try:
                await self._project()
            except PositionMoved as moved:
                log.warning("read_model.position_moved", reason=str(moved))
                await asyncio.sleep(_RETRY_S / 10)
            except Unavailable as error:
                if error.detail != logged:  # one line per outage, not one per second
                    log.warning("read_model.waiting", reason=error.detail)
                logged = error.detail
                await asyncio.sleep(_RETRY_S)

    async def _project(self) -> None:
        """Read on from the position in Redis, or from the log's start if Redis was emptied."""
        at = await self._writer.position()
        if at is None:
            await self._writer.write_again()
        log.info("read_model.projecting", since=at or "the start")
        async for batch in self._reader.read(None if at is None else int(at) + 1, *FOLDED):
            if batch:
                at = await self._apply(batch, at)
            elif await self._writer.position() != at:
                raise PositionMoved(f"the position is no longer {at}")

    async def _apply(self, batch: Sequence[LoggedEvent], at: str | None) -> str:
        """Write a batch; one that fails is written event by event, and an event that fails is skipped and reported."""
        try:
            return await self._write(batch, at)
        except (PositionMoved, Unavailable):
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

    async def _write(self, batch: Sequence[LoggedEvent], at: str | None) -> str:
        events = [recorded.event for recorded in batch if recorded.event is not None]
        states = await self._states(events)
        configs: dict[str, dict[str, str]] = {}
        for recorded in batch:
            event = recorded.event
            if event is None:
                continue
            before = states.get(event.session_id)
            states[event.session_id] = fold(before, event, recorded.trace_id)
            if isinstance(event, SessionRequested) and event.user_name:
                configs[event.user_name] = user_config(event)
            elif isinstance(event, SessionErased):
                await self._erase(event.session_id, before, configs)
        then = str(batch[-1].seq)
        await self._writer.write(states.values(), configs, at=at, then=then)
        _APPLIED.inc(len(events))
        return then

    async def _erase(self, session_id: str, state: SessionState | None, configs: dict[str, dict[str, str]]) -> None:
        """Finish an erasure: the gateway that announced it may have stopped anywhere.

        The key is erased last, since it opens the name. A rebuilt state lacks the name, and the log deletes old events,
        so the names come from both.
        """
        logged = [record.event for record in await self._reader.records(session_id)]
        requests = [event for event in logged if isinstance(event, SessionRequested)]
        if state is not None and state.requested is not None:
            requests.append(state.requested)
        erased = configs_of(requests)
        for user_name, updated_at in erased:
            if configs.get(user_name, {}).get("updatedAt") == updated_at:
                del configs[user_name]
        await self._writer.delete_from_lists(session_id, erased)
        await self._words.erase(session_id)

    async def _states(self, events: Sequence[Event]) -> dict[str, SessionState]:
        """The stored states of the events' sessions; a missing one of an older session is rebuilt from the log."""
        first = {event.session_id: event for event in reversed(events)}
        states = await self._writer.states(first.keys())
        for session_id, event in first.items():
            if session_id not in states and not isinstance(event, SessionRequested):
                rebuilt = fold_records(await self._reader.records(session_id))
                if rebuilt is not None:
                    states[session_id] = rebuilt
        return states

    async def _mirror_pool(self) -> NoReturn:
        """Copy the registry to `pool:ready` in a separate task, so that a long replay of the log does not delay it."""
        logged = ""
        while True:
            try:
                await self._writer.mirror_pool(ready_agents(await self._registry.nodes(), self._prejoined.ids))
                logged = ""
                await asyncio.sleep(_MIRROR_S)
            except Unavailable as error:
                if error.detail != logged:
                    log.warning("read_model.pool_not_mirrored", reason=error.detail)
                logged = error.detail
                await asyncio.sleep(_RETRY_S)
