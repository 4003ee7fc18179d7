"""`GET /stats`: sessions, nodes, and the state of Redis, NATS and LiveKit."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import TypeVar

from fastapi import APIRouter

from contracts.api import Dependency, PoolStats, StatsReply
from contracts.errors import Refused
from contracts.events import Event, JobAssigned, SessionEnded, SessionQueued
from contracts.registry import NodeState
from gateway.domain.access import Scope
from gateway.domain.occupancy import from_read_model, from_registry
from gateway.domain.read_model import Status
from gateway.ports import Unavailable
from gateway.routes.documented import problems
from gateway.routes.services import Services, Wired

router = APIRouter(tags=["operation"])
SCOPE = Scope.ADMIN

_T = TypeVar("_T")
_PATIENCE = 0.3  # share of the deadline after which the figures are also computed without Redis


@router.get("/stats", responses=problems(), operation_id="get_stats")
async def get_stats(services: Wired) -> StatsReply:
    """Current sessions, workers and nodes. An unavailable dependency has `ok: false`, and its figures are 0."""
    until = asyncio.get_running_loop().time() + services.stats_deadline_s
    counting = asyncio.ensure_future(_or_none(services.read_model.count(), until))
    (redis, nats, livekit), (nodes, slots, counts, recent) = await asyncio.gather(
        asyncio.gather(
            _checked(services.read_model.check(), until),
            _checked(services.registry.check(), until),
            _checked(services.rooms.check(), until),
        ),
        asyncio.gather(
            _or_none(services.registry.nodes(), until),
            _or_none(services.registry.slots(), until),
            counting,
            _recent(services, counting, until),
        ),
    )
    occupancy = from_read_model(counts) if counts is not None else from_registry(slots or [], nodes or [], recent or [])
    pool = sorted((_pool(node) for node in nodes or []), key=lambda stats: stats.node_id)
    return StatsReply(
        active=occupancy.active,
        starting=occupancy.starting,
        queued=occupancy.queued,
        max_bots=services.max_bots,
        nodes=len(pool),
        pool=pool,
        processes=sum(stats.processes for stats in pool),
        redis=redis,
        nats=nats,
        livekit=livekit,
    )


async def _recent(
    services: Services, counting: asyncio.Future[Mapping[Status, int] | None], until: float
) -> list[Event] | None:
    """The events of the last queue deadline, read when Redis is slow and its count may not arrive in time."""
    await asyncio.wait({counting}, timeout=_PATIENCE * services.stats_deadline_s)
    if counting.done() and counting.result() is not None:
        return None
    window = services.now() - timedelta(seconds=services.queue_deadline_s)
    return await _or_none(services.log.since(window, SessionQueued, JobAssigned, SessionEnded), until)


async def _or_none(asked: Awaitable[_T], until: float) -> _T | None:
    try:
        async with asyncio.timeout_at(until):
            return await asked
    except (Refused, Unavailable, TimeoutError):
        return None


async def _checked(check: Awaitable[Dependency], until: float) -> Dependency:
    return await _or_none(check, until) or Dependency(ok=False, detail="No answer within the deadline.")


def _pool(node: NodeState) -> PoolStats:
    return PoolStats(
        node_id=node.node_id,
        warm=node.warm,
        busy=node.busy,
        free=node.free_slots,
        slots=node.slots,
        draining=node.draining,
        drain_since=node.drain_since,
        load=node.load,
        processes=node.processes,
        prejoined=len(node.rooms),
    )
