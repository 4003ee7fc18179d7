"""The parts of a local stack to start, by the user's environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from chassis.credentials import weakness
from gateway.domain.access import is_loopback
from greenroom_cli import network
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import EVERYTHING, Part, StackOptions
from greenroom_cli.stack.ports import LOOPBACK, read_port
from greenroom_cli.stack.providers import missing_keys

# A server that the environment names belongs to the user: it is used, not started.
URLS = {Part.NATS: "NATS_URL", Part.REDIS: "REDIS_URL", Part.LIVEKIT: "LIVEKIT_URL", Part.POSTGRES: "DATABASE_URL"}
GATEWAY_PORT = 8000


@dataclass(frozen=True)
class Wanted:
    """The user's choices for a stack."""

    nodes: int = 1
    postgres: bool = False
    ports: Mapping[str, int] | None = None


def options(environment: Mapping[str, str], wanted: Wanted) -> StackOptions:
    """Convert choices into options.

    Raises:
        CommandError: The choices contradict the environment.
    """
    if wanted.postgres and "DATABASE_URL" in environment:
        raise CommandError("--postgres was given, but DATABASE_URL names a database", "remove one of the two")
    if "LIVEKIT_URL" in environment:
        for key in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
            if key not in environment:
                raise CommandError(f"LIVEKIT_URL is set, but {key} is not", f"set {key}, or unset LIVEKIT_URL")
        if (problem := weakness(environment["LIVEKIT_API_SECRET"])) is not None:
            raise CommandError(f"LIVEKIT_API_SECRET: {problem}", "give LiveKit and Greenroom the same new secret")
    host = environment.get("HOST", LOOPBACK)
    if not is_loopback(host) and "GREENROOM_API_KEYS" not in environment:
        raise CommandError(
            f"HOST={host} lets other machines in, but GREENROOM_API_KEYS is not set",
            "set it to a key (make one with: openssl rand -hex 32), or set HOST=127.0.0.1",
        )
    return StackOptions(
        parts=parts(environment, postgres=wanted.postgres),
        nodes=wanted.nodes,
        environment=environment,
        ports=_ports(environment, wanted.ports or {}),
        preferred_ports={Part.GATEWAY: GATEWAY_PORT},
    )


def parts(environment: Mapping[str, str], *, postgres: bool = False) -> frozenset[Part]:
    """What a local stack starts in this environment: not what it names, nor a sandbox where each provider has a key."""
    wanted = EVERYTHING | ({Part.POSTGRES} if postgres else frozenset[Part]())
    wanted -= {part for part, url in URLS.items() if url in environment}
    return wanted if missing_keys(environment) else wanted - {Part.SANDBOX}


def unreachable_livekit(environment: Mapping[str, str]) -> str | None:
    """A warning that callers on other machines would get a LiveKit on loopback; None if they would not."""
    if is_loopback(environment.get("HOST", LOOPBACK)):
        return None
    told = environment.get("LIVEKIT_PUBLIC_URL") or environment.get("LIVEKIT_URL", "")
    if not network.is_loopback(told):
        return None
    return (
        f"Callers on other machines cannot join: starts give them {told} as serverUrl; set LIVEKIT_URL to a LiveKit "
        "that they reach (LIVEKIT_PUBLIC_URL: its address for them)"
    )


def _ports(environment: Mapping[str, str], chosen: Mapping[str, int]) -> dict[str, int]:
    written = environment.get("PORT")
    if written is None:
        return dict(chosen)
    port = read_port(written)
    if port is None:
        raise CommandError(f"PORT={written!r} is not a port", "set it to a number between 1 and 65535, or unset it")
    return {Part.GATEWAY: port, **chosen}
