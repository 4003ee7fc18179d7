"""The supervisor: `python -m agent_runner.app`. It knows every adapter and never imports Pipecat."""

import asyncio
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from agent_runner.adapters.forkserver import ForkServer
from agent_runner.adapters.host import ControlGroups, CpuLoad
from agent_runner.adapters.llm_model import with_models
from agent_runner.adapters.log_dir import prepare
from agent_runner.adapters.nats_outbox import NatsOutboxes
from agent_runner.adapters.nats_registry import NatsRegistry
from agent_runner.adapters.nats_room_keys import NatsRoomKeys
from agent_runner.adapters.nats_session_log import NatsSessionLog
from agent_runner.adapters.process_secrets import WORKERS_VARIABLES, hide_process, keep_in_environment
from agent_runner.adapters.redis_call_logs import RedisCallLogs
from agent_runner.adapters.spool import Spool
from agent_runner.adapters.subreaper import become_subreaper
from agent_runner.agent_config import AgentConfig
from agent_runner.domain.call import CallLimits
from agent_runner.domain.pool import PoolLimits
from agent_runner.handlers import Commands
from agent_runner.ports import NameTaken
from agent_runner.settings import Settings
from agent_runner.supervisor.call import World
from agent_runner.supervisor.node import Node, NodeFacts
from agent_runner.supervisor.pool import Pool
from agent_runner.supervisor.presence import Presence
from agent_runner.supervisor.rooms import PrejoinedRooms, RoomFacts
from chassis import logs
from chassis.environment import is_given
from chassis.errors import StartFailed
from chassis.health import version_of
from chassis.lifecycle import Life, Service, run
from chassis.nats import Bus, CommandHandlers
from chassis.proxies import take_out_socks
from chassis.settings import load
from contracts.streams import NODES, PREJOINED, SESSIONS

WORKER: Final = "agent_runner.worker.process.main:run"
PRELOAD: Final = "agent_runner.preload"

_LIFETIME_MARGIN_S: Final = 30.0  # the scheduler ends a session at its timeout; this is in case it does not
_STOP_S: Final = 5.0
_NAME_S: Final = 30.0
_ONE_NODE_ID: Final = "Give each agent-runner its own NODE_ID, or stop the other one."
_MEBIBYTE: Final = 1 << 20

log = logs.get_logger(__name__)


class _Agent:
    """The agent's configuration, which SIGHUP replaces: calls that start later have the new one."""

    def __init__(self, forks: ForkServer, config: AgentConfig) -> None:
        self.forks = forks
        self.config = config

    def use(self, config: AgentConfig) -> None:
        self.config, self.forks.args = config, (config,)


@dataclass(frozen=True, slots=True)
class _Parts:
    pool: Pool
    rooms: PrejoinedRooms
    node: Node
    presence: Presence
    registry: NatsRegistry


async def start(
    life: Life, settings: Settings, config: AgentConfig, *, worker: str = WORKER, preload: str = PRELOAD
) -> None:
    """Start the node. Its stop undoes the steps in reverse: first the calls drain, last the forkserver is killed."""
    log_dir = prepare(settings.log_dir)
    _keep_secrets_from_workers()
    become_subreaper()
    agent = _Agent(ForkServer(worker, preload, max_file_bytes=settings.worker_log_mb * _MEBIBYTE), config)
    await life.begin("forkserver", agent.forks.start(), stop=agent.forks.close)  # it imports while we go on
    agent.use(await life.begin("language model", with_models(config), fix="Check GROQ_BASE_URL."))
    bus = await life.connect(streams=[SESSIONS], buckets=[NODES, PREJOINED], owned=())
    parts = _build(settings, agent, bus, life, log_dir)
    pool, rooms, node = parts.pool, parts.rooms, parts.node

    async def workers() -> str | None:
        return pool.problem()

    life.health.add("workers", workers)
    life.on_stop("idle workers", lambda: pool.close(_STOP_S), deadline_s=_STOP_S + 1)
    life.on_stop("rooms", lambda: rooms.close(_STOP_S), deadline_s=_STOP_S + 1)
    life.spawn("pool", pool.run())
    life.spawn("reload", _renew_on_hangup(settings, agent, pool, rooms))
    life.spawn("watch", parts.presence.watch())
    await life.begin("node id", _have_name(parts.registry, settings.node_id), deadline_s=_NAME_S, fix=_ONE_NODE_ID)
    await _answer_commands(settings, parts, bus, life)
    life.on_stop("registry", parts.presence.delete_entry, deadline_s=_STOP_S)
    life.spawn("announce", _announce(parts.presence, life))

    async def announce_again() -> None:
        node.changed.set()

    bus.on_reconnect(announce_again)
    life.on_stop(
        "calls",
        lambda: _drain(node, settings.drain_limit_s if parts.presence.has_name else 0),
        deadline_s=settings.drain_limit_s + settings.kill_s + 5,
    )


def _build(settings: Settings, agent: _Agent, bus: Bus, life: Life, log_dir: Path) -> _Parts:
    spool = Spool(log_dir / "outbox" / settings.node_id, settings.outbox_max_mb * _MEBIBYTE)
    outboxes = NatsOutboxes(bus, spool)
    life.on_stop("outboxes", lambda: outboxes.close(_STOP_S), deadline_s=_STOP_S + 1)
    call_logs = RedisCallLogs(settings.redis_url)
    life.on_stop("call logs", call_logs.close, deadline_s=_STOP_S)
    life.spawn("call logs", call_logs.run())

    groups, changed = ControlGroups(), asyncio.Event()
    pool = Pool(
        agent.forks,
        _pool_limits(settings, _slots(settings, groups)),
        on_change=changed.set,
        floor=lambda: settings.warm_floor(datetime.now(UTC)),
    )
    room_facts = RoomFacts(settings.node_id, settings.region, settings.idle_silence_s)
    rooms = PrejoinedRooms(room_facts, pool, NatsRoomKeys(bus), on_change=changed.set)
    world = World(
        settings.node_id,
        log_dir,
        pool,
        outboxes,
        NatsSessionLog(bus),
        call_logs,
        limits=lambda language: _call_limits(settings, agent.config, language),
    )
    facts = NodeFacts(
        settings.node_id,
        settings.region,
        datetime.now(UTC),
        load=CpuLoad(groups=groups),
        forkservers=lambda: int(agent.forks.is_alive),
        incarnation=uuid4().hex[:12],
        version=version_of("greenroom-agent-runner"),
    )
    registry = NatsRegistry(bus, facts.incarnation)
    node = Node(facts, world, rooms, changed)
    return _Parts(pool, rooms, node, Presence(node, registry), registry)


async def _answer_commands(settings: Settings, parts: _Parts, bus: Bus, life: Life) -> None:
    commands = Commands(
        parts.node,
        parts.rooms,
        announce=parts.presence.announce_now,
        kill_s=settings.kill_s,
        on_drained=life.end,
    )
    at_once = 2 * parts.pool.limits.slots
    addresses = (parts.node.state().address, settings.node_id)  # older schedulers know only the latter
    handlers = CommandHandlers(bus, *(commands.router(address, at_once=at_once) for address in addresses))
    await life.begin("commands", handlers.start(), stop=handlers.stop)


async def _announce(presence: Presence, life: Life) -> None:
    try:
        await presence.announce()
    except NameTaken as error:  # it started at the same time, or while this node was disconnected
        life.fail(str(error), _ONE_NODE_ID)


def _keep_secrets_from_workers() -> None:
    """Call it before the forkserver starts, which inherits this process's environment."""
    ignored = take_out_socks(os.environ)
    if ignored:
        log.warning("proxy.socks_ignored", variables=ignored, fix="Set HTTPS_PROXY to an HTTP proxy, if one is needed.")
    keep_in_environment(lambda name: is_given(name, WORKERS_VARIABLES))
    hide_process()


async def _have_name(registry: NatsRegistry, node_id: str) -> None:
    try:
        await registry.wait_for_name(node_id)
    except NameTaken as error:
        raise StartFailed(str(error), _ONE_NODE_ID) from error


async def _renew_on_hangup(settings: Settings, agent: _Agent, pool: Pool, rooms: PrejoinedRooms) -> None:
    """At SIGHUP read AGENT_ENV_FILE again, and replace the forkserver, the warm workers and the prejoined rooms."""
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            config = await with_models(load(AgentConfig, settings.agent_env_file))
        except (SystemExit, StartFailed) as error:  # SystemExit: its line is on stderr
            log.error("config.refused", file=str(settings.agent_env_file), error=str(error))
            continue
        agent.use(config)
        await agent.forks.restart()
        pool.renew()
        rooms.retire("stale", claimed_too=False)
        log.info("config.renewed", file=str(settings.agent_env_file))


async def _drain(node: Node, limit_s: float) -> None:
    """Let the calls go on up to the limit; a second signal ends them at once."""
    hurry = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hurry.set)
    await node.shut_down(limit_s, hurry)


def _slots(settings: Settings, groups: ControlGroups) -> int:
    capacity = groups.capacity()
    slots = settings.slots(capacity)
    log.info("node.capacity", slots=slots, cpus=capacity.cpus, memory_bytes=capacity.memory_bytes)
    return slots


def _pool_limits(settings: Settings, slots: int) -> PoolLimits:
    return PoolLimits(
        slots=slots,
        target=settings.prewarm_pool_size,
        max_age_s=settings.idle_max_age_s,
        start_s=settings.worker_start_s,
        silence_s=settings.idle_silence_s,
    )


def _call_limits(settings: Settings, config: AgentConfig, language: str | None) -> CallLimits:
    lines = config.lines_in(language)
    return CallLimits(
        start_s=settings.worker_take_s,
        join_s=settings.worker_join_s,
        joining_silence_s=max(settings.idle_silence_s, settings.worker_silence_s),
        silence_s=settings.worker_silence_s,
        kill_s=settings.kill_s,
        lifetime_s=settings.session_timeout / 1000 + _LIFETIME_MARGIN_S,
        tick_s=settings.tick_s,
        opening=lines.opening,
        bridge=lines.bridge,
        bridge_to_answer=lines.bridge_to_answer,
        farewell=lines.apology,
        warning=config.warning_in(language),
        turn_budget_ms=config.turn_budget_ms,
    )


def main() -> None:
    """Run the node until SIGTERM."""
    settings = load(Settings)
    config = load(AgentConfig, settings.agent_env_file)
    run(Service("agent-runner", settings, lambda life: start(life, settings, config)))


if __name__ == "__main__":
    main()
