"""The processes of a stack: their ports, their environment, their order."""

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import chain

from greenroom_cli.errors import CommandError
from greenroom_cli.stack import servers
from greenroom_cli.stack.disk import LEAST_LIMIT, nats_disk
from greenroom_cli.stack.environment import for_part, mistakes
from greenroom_cli.stack.options import Part, StackOptions
from greenroom_cli.stack.ports import LOOPBACK, free_ports, is_free, reached_at, require_free
from greenroom_cli.stack.process import ProcessSpec
from greenroom_cli.stack.providers import sandbox, sandbox_environment
from greenroom_cli.stack.services import (
    AFTER_DRAIN_S,
    DEPLOYED_STOP_S,
    drain_limit_s,
    migration,
    service,
)
from greenroom_cli.stack.state import Keys, StateFolder

# Defaults for one machine; variables set by the user override them.
LOCAL_DEFAULTS = {
    # A stop of the stack ends the calls at once: no other node can take them over.
    "DRAIN_LIMIT_S": "0",
    # All nodes share this machine, so a call that one refuses for its load finds no better one.
    "MAX_LOAD": "1000",
    # Smart-turn takes every fourth sentence of the sandbox's voice as unfinished, and would wait 3 s each time.
    "SMART_TURN_STOP_SECS": "1",
    # Other work on the machine may delay a worker briefly, which should not cause a take-over.
    "WORKER_SILENCE_S": "4",
}

DEPLOYED_DEFAULTS = {
    # One limit of memory holds for all parts of the container. NATS, the supervisor and the services besides the node
    # use about 500 MB; the rest is for their load.
    "MEMORY_RESERVED_MB": "600",
    # The platform publishes the whole port.
    "METRICS_NEED_KEY": "true",
}


class Plan:
    """The processes, their ports and their environment."""

    def __init__(self, state: StateFolder, options: StackOptions) -> None:
        self._folder = state.path
        self._state = state
        self._options = options
        self._keys: Keys = state.keys()
        self._ports = _choose_ports(options, state.ports())
        state.remember_ports(self._ports)
        self.environment = self._addresses()

    async def servers(self) -> list[ProcessSpec]:
        parts, ports = self._options.parts, self._ports
        inherited = for_part(Part.NATS, self._options.environment)  # the same for every server
        specs: list[ProcessSpec] = []
        if Part.NATS in parts:
            disk = nats_disk(self._folder, self._options.environment)
            if not disk.is_enough:
                raise CommandError(disk.shown, disk.fix)
            limit = max(LEAST_LIMIT, 2 * disk.needed)
            specs.append(servers.nats(self._folder, ports["nats"], self._keys.nats, inherited, limit=limit))
        if Part.REDIS in parts:
            specs.append(servers.redis(self._folder, ports["redis"], self._keys.redis, inherited))
        if Part.LIVEKIT in parts:
            specs.append(
                servers.livekit(
                    self._folder,
                    port=ports["livekit"],
                    rtc_tcp_port=ports["livekit-rtc-tcp"],
                    rtc_udp_port=ports["livekit-rtc-udp"],
                    key=self._keys.livekit_key,
                    secret=self._keys.livekit_secret,
                    webhook_url=f"http://{self._gateway}/livekit/webhook",
                    environment=inherited,
                    program=self._options.environment.get("LIVEKIT_SERVER_BIN"),
                )
            )
        if Part.POSTGRES in parts:
            specs.append(
                await servers.postgres(self._folder, ports["postgres"], self._keys.postgres_password, inherited)
            )
        if Part.SANDBOX in parts:
            specs.append(self._sandbox())
        return specs

    def _sandbox(self) -> ProcessSpec:
        return sandbox(self._ports["sandbox"], for_part(Part.SANDBOX, self._options.environment))

    def migrations(self) -> list[ProcessSpec]:
        return [migration(self._environment_of(Part.BILLING))] if Part.BILLING in self._options.parts else []

    def refuse_bad_settings(self) -> None:
        """Check the services' settings before anything starts.

        Raises:
            CommandError: A service would refuse its settings.
        """
        if found := self.mistakes():
            told = "; ".join(f"{part.value}: bad settings: {line}" for line, part in found.items())
            raise CommandError(told, "correct the environment or .env")

    def mistakes(self) -> dict[str, Part]:
        """What sandbox and services would refuse of their settings: each line once, with the first that says it."""
        found: dict[str, Part] = {}
        if Part.SANDBOX in self._options.parts and find_spec("sandbox"):
            for line in mistakes(Part.SANDBOX, self._sandbox().environment):
                found[line] = Part.SANDBOX
        for spec in self.services():
            part = Part.AGENT_RUNNER if spec.name in _node_names(self._options) else Part(spec.name)
            for line in mistakes(part, spec.environment):
                found.setdefault(line, part)
        return found

    def services(self) -> list[ProcessSpec]:
        """In starting order, the reverse of stopping: billing stops after every end.

        Deployed nodes stop first: until their calls have ended, the gateway takes requests and webhooks. Elsewhere the
        gateway does, since the calls are cut off.
        """
        specs: list[ProcessSpec] = []
        if Part.BILLING in self._options.parts:
            # PORT and HOST configure the gateway, not billing, which has an HTTP API too.
            own = {"HOST": LOOPBACK, "PORT": str(self._ports["billing"])}
            specs.append(self._service("billing", Part.BILLING, "billing.app", own, "HOST"))
        if Part.SCHEDULER in self._options.parts:
            specs.append(self._service("scheduler", Part.SCHEDULER, "scheduler.app", {}))
        nodes = [self._service(n, Part.AGENT_RUNNER, "agent_runner.app", self._node_id(n)) for n in self._nodes]
        gateways: list[ProcessSpec] = []
        if Part.GATEWAY in self._options.parts:
            own = {"PORT": str(self._ports["gateway"])}
            gateways.append(self._service("gateway", Part.GATEWAY, "gateway.app", own, "HOST"))
        return [*specs, *gateways, *nodes] if self._options.deployed else [*specs, *nodes, *gateways]

    @property
    def _nodes(self) -> list[str]:
        return _node_names(self._options)

    def _node_id(self, node: str) -> dict[str, str]:
        """The process's name; in a deployment NODE_ID, since several of them may share a NATS server."""
        given = self._options.environment.get("NODE_ID") if self._options.deployed else None
        return {"NODE_ID": given or node}

    def _environment_of(self, part: Part) -> dict[str, str]:
        deployed = self._options.deployed
        defaults = DEPLOYED_DEFAULTS if deployed else LOCAL_DEFAULTS
        # The health ports of a container's parts are for its supervisor; the image's HEALTH_HOST is for a part alone.
        own = {"HEALTH_HOST": LOOPBACK} if deployed else {}
        everything = {**defaults, **self._options.environment, **self.environment, **self._as_user(part), **own}
        return for_part(part, everything)

    def _service(
        self, name: str, part: Part, module: str, own: dict[str, str], host: str = "HEALTH_HOST"
    ) -> ProcessSpec:
        """One service.

        Args:
            host: The variable that says which address its /ready listens on.
        """
        port = self._ports[name]
        environment = self._environment_of(part) | own | {"HEALTH_PORT": str(port)}
        address = f"{reached_at(environment.get(host, LOOPBACK))}:{port}"
        if not self._options.deployed:
            return service(name, module, address, environment)
        drains = part == Part.AGENT_RUNNER
        stop_s = drain_limit_s(environment) + AFTER_DRAIN_S if drains else DEPLOYED_STOP_S
        return service(name, module, address, environment, probe="/health", stop_timeout_s=stop_s)

    @property
    def _gateway(self) -> str:
        """host:port of the gateway, at the user's address."""
        return f"{reached_at(self._options.environment.get('HOST', LOOPBACK))}:{self._ports['gateway']}"

    def _as_user(self, user: str) -> dict[str, str]:
        """The addresses of our own NATS and Redis, with this user's name and password."""
        found: dict[str, str] = {}
        if Part.NATS in self._options.parts:
            found["NATS_URL"] = servers.nats_url(self._ports["nats"], user, self._keys.nats[user])
        if Part.REDIS in self._options.parts and user in self._keys.redis:
            found["REDIS_URL"] = servers.redis_url(self._ports["redis"], user, self._keys.redis[user])
        return found

    def _addresses(self) -> dict[str, str]:
        from contracts.users import READER  # takes 0.2 s, so it is imported here

        parts, ports = self._options.parts, self._ports
        found: dict[str, str] = {"LOG_DIR": str(self._folder / "logs" / "agents")}
        found |= self._as_user("operator")  # for the commands and the user
        if Part.REDIS in parts:
            found["REDIS_READER_URL"] = servers.redis_url(ports["redis"], READER, self._keys.redis[READER])
        if Part.LIVEKIT in parts:
            found["LIVEKIT_URL"] = f"ws://{LOOPBACK}:{ports['livekit']}"
            found["LIVEKIT_API_KEY"] = self._keys.livekit_key
            found["LIVEKIT_API_SECRET"] = self._keys.livekit_secret
        given = self._options.environment
        if "ACCOUNT_KEY" not in given and (Part.POSTGRES in parts or "DATABASE_URL" not in given):
            found["ACCOUNT_KEY"] = self._state.account_key()  # it stays with the bills, whose accounts it makes
        if Part.POSTGRES in parts:
            found["DATABASE_URL"] = servers.postgres_url(ports["postgres"], self._keys.postgres_password)
        elif "DATABASE_URL" not in given:
            found["DATABASE_URL"] = f"sqlite+aiosqlite:///{self._folder / 'billing.sqlite'}"
        if Part.SANDBOX in parts:
            found.update(sandbox_environment(ports["sandbox"], self._options.environment))
        if Part.BILLING in parts:
            found["BILLING_URL"] = f"http://{LOOPBACK}:{ports['billing']}"
        if Part.GATEWAY in parts:
            found["GREENROOM_URL"] = f"http://{self._gateway}"
        return found


def _node_names(options: StackOptions) -> list[str]:
    if Part.AGENT_RUNNER not in options.parts:
        return []
    if options.nodes == 1:
        return [Part.AGENT_RUNNER]
    return [f"{Part.AGENT_RUNNER}-{number}" for number in range(1, options.nodes + 1)]


def _choose_ports(options: StackOptions, last: Mapping[str, int]) -> dict[str, int]:
    """A port per listener: the configured one (refused if in use), the last run's, the preferred, or any free one."""
    # LiveKit's configuration contains the gateway's webhook, even when a test starts no gateway.
    wanted = [part.value for part in Part if part in options.parts and part != Part.AGENT_RUNNER]
    if Part.LIVEKIT in options.parts:
        wanted += ["livekit-rtc-tcp", "livekit-rtc-udp", "gateway"]
    wanted += _node_names(options)
    chosen: dict[str, int] = {}
    free = free_ports()
    for name in dict.fromkeys(wanted):
        configured = options.ports.get(name)
        if configured is not None:
            require_free(name, configured, _how_to_choose(name))
            chosen[name] = configured
            continue
        candidates = [port for table in (last, options.preferred_ports) if (port := table.get(name)) is not None]
        taken = set(chosen.values()) | set(options.ports.values())
        chosen[name] = next(
            port for port in chain(candidates, free) if port not in taken and is_free(port) and is_free(port, udp=True)
        )
    return chosen


def _how_to_choose(name: str) -> str:
    return (
        "choose another with --port or PORT" if name == Part.GATEWAY else f"choose another with --server-port {name}=N"
    )
