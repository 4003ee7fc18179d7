"""The scheduler's process: seeks the lease, and leads while it has it."""

import os
import random
import secrets
import socket
from functools import partial
from typing import Final
from uuid import uuid4

from chassis.deployment import deployment_name
from chassis.lifecycle import Life, Service, run
from chassis.nats.kv.lease import Lease
from chassis.settings import load
from contracts.ids import session_id
from contracts.streams import BUCKETS, GATEWAYS_BUCKETS, KEYS, LEADERS, SESSIONS, STREAMS
from scheduler.adapters.livekit_rooms import LiveKitRooms
from scheduler.adapters.nats_nodes import NatsNodes
from scheduler.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from scheduler.adapters.nats_queue_mirror import NatsQueueMirror
from scheduler.adapters.nats_session_log import NatsSessionLog
from scheduler.adapters.nats_slots import NatsSlots
from scheduler.adapters.nats_stores import NatsStores
from scheduler.adapters.nats_words import NatsWords
from scheduler.domain.clock import LogClock
from scheduler.handlers import Handlers
from scheduler.leader.agents import Agents
from scheduler.leader.prejoiner import PrejoinPlan
from scheduler.leader.term import Plan, Ports, Term, Terms
from scheduler.leader.timekeeper import Timekeeper
from scheduler.settings import Settings

ROLE: Final = "scheduler"


async def start(life: Life, settings: Settings) -> None:
    """Connect, and stand by for the lease."""
    # The gateway owns the request keys.
    streams = [settings.sessions() if stream == SESSIONS else stream for stream in STREAMS]
    owned = [bucket for bucket in BUCKETS if bucket not in GATEWAYS_BUCKETS]
    buckets = [settings.keys() if bucket == KEYS else bucket for bucket in owned]
    bus = await life.connect(streams=streams, buckets=buckets)
    deployment = await deployment_name(bus, settings.deployment_name)
    rooms = LiveKitRooms(
        settings.livekit_url,
        settings.livekit_api_key,
        settings.livekit_api_secret,
        session_ms=settings.session_timeout,
        queue_s=settings.queue_deadline_s,
        deployment=deployment,
    )
    life.on_stop("LiveKit", rooms.close)
    # Unique among processes past and present, so that a restarted process does not take itself for its predecessor.
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    lease = Lease(bus.bucket(LEADERS), ROLE, holder, settings.leader_lease_s)
    nodes = NatsNodes(bus, assign_timeout_s=settings.assign_timeout_s, end_timeout_s=settings.end_timeout_s)
    open_s = settings.queue_deadline_s + settings.bot_startup_timeout + settings.session_timeout / 1000
    words = NatsWords(bus, kept_s=open_s)
    ports = Ports(
        session_log=NatsSessionLog(bus),
        slots=NatsSlots(bus),
        nodes=nodes,
        rooms=rooms,
        prejoined=NatsPrejoinedRooms(bus),
        queue=NatsQueueMirror(bus),
        stores=NatsStores(bus),
        words=words,
        agents=Agents(nodes, rooms, settings.livekit_url, lease, words),
    )
    timekeeper = Timekeeper(LogClock(), ports.session_log)
    terms = Terms(partial(Term, ports, _plan(settings, deployment), timekeeper, Handlers), lease)
    life.health.add("term", terms.ready)
    bus.on_reconnect(terms.reconnected)
    life.spawn("clock", timekeeper.run())
    life.spawn("leadership", lease.run(terms.lead, terms.ended))


def _plan(settings: Settings, deployment: str) -> Plan:
    return Plan(
        limits=settings.limits(),
        prejoin=PrejoinPlan(
            size=settings.prejoin_pool_size,
            max_age_s=settings.prejoin_max_age_s,
            livekit_url=settings.livekit_url,
            mint=lambda now_ms: session_id(now_ms, secrets.token_bytes(8)),
            chance=random.random,
        ),
        reconcile_s=settings.reconcile_s,
        deployment=deployment,
        streams_look_s=settings.streams_look_s,
        calls_bytes=settings.calls_bytes,
    )


def main() -> None:
    settings = load(Settings)
    run(Service("scheduler", settings, lambda life: start(life, settings), fast_loop=True))


if __name__ == "__main__":
    main()
