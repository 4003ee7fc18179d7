"""`GET /stats`: what runs, on what, and whether everything behind the gateway answers."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from contracts.api import PoolStats, StatsReply
from contracts.errors import Refused
from contracts.events import JobAssigned, SessionEnded, SessionQueued
from contracts.registry import NodeState, Slot
from fastapi import APIRouter

from gateway.domain.occupancy import Occupancy, from_read_model, from_registry
from gateway.routes.documented import problems
from gateway.routes.services import Services, Wired

router = APIRouter(tags=["operation"])

_T = TypeVar("_T")


@router.get("/stats", responses=problems(), operation_id="get_stats")
async def get_stats(services: Wired) -> StatsReply:
    """Sessions, workers and nodes now. What is away shows as `ok: false`; its figures are 0 then."""
    redis, nats, livekit, nodes, slots, counts = await asyncio.gather(
        services.read_model.check(),
        services.registry.check(),
        services.rooms.check(),
        _or_none(services.registry.nodes()),
        _or_none(services.registry.slots()),
        _or_none(services.read_model.count()),
    )
    occupancy = from_read_model(counts) if counts is not None else await _from_nats(slots or [], nodes or [], services)
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


async def _from_nats(slots: list[Slot], nodes: list[NodeState], services: Services) -> Occupancy:
    window = services.now() - timedelta(seconds=services.queue_deadline_s)
    recent = await _or_none(services.log.since(window, SessionQueued, JobAssigned, SessionEnded))
    return from_registry(slots, nodes, recent or [])


async def _or_none(asked: Awaitable[_T]) -> _T | None:
    try:
        return await asked
    except (Refused, TimeoutError):
        return None


def _pool(node: NodeState) -> PoolStats:
    return PoolStats(
        node_id=node.node_id,
        warm=node.warm,
        busy=node.busy,
        free=node.free_slots,
        slots=node.slots,
        draining=node.draining,
        load=node.load,
        processes=node.processes,
        prejoined=len(node.rooms),
    )
