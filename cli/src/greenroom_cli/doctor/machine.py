"""The machine: programs, network interface, ports."""

import array
import fcntl
import os
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from greenroom_cli import env_file, env_names
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.errors import CommandError
from greenroom_cli.local_stack import GATEWAY_PORT
from greenroom_cli.stack import binaries
from greenroom_cli.stack.disk import nats_disk
from greenroom_cli.stack.port_holder import Holder, holder
from greenroom_cli.stack.ports import LOOPBACK, is_free, read_port

GROUP = "machine"
ENV = Path(".env")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIOCGIFFLAGS, IFF_UP, IFF_LOOPBACK = 0x8913, 0x1, 0x8


def check_machine(environment: Mapping[str, str], state: Path, *, stack_is_running: bool) -> list[Check]:
    checks = [
        Check(GROUP, "Python", Verdict.OK, sys.version.split()[0]),  # an older Python cannot import this module
        _program("Go", ("go",), "builds livekit-server and runs nothing else", "apt-get install golang-go"),
        _program(
            "Node", ("node",), "builds the web console and runs the browser tests", "install Node.js 20.19 or newer"
        ),
        _program("Chromium", CHROMIUM, "is needed by the browser tests alone", "apt-get install chromium"),
        *_servers(environment),
        network_interface(),
        *(
            Check(GROUP, ".env", Verdict.WARNING, f"{found.name}: {found.why}", found.fix)
            for found in [*env_file.differences(ENV), *env_names.misspelt(ENV)]
        ),
    ]
    if not stack_is_running:
        checks.append(_port(environment))
        if "NATS_URL" not in environment:
            checks.append(_disk(state, environment))
    return checks


def _disk(state: Path, environment: Mapping[str, str]) -> Check:
    """The disk check of `greenroom up`."""
    disk = nats_disk(state, environment)
    if disk.is_enough:
        return Check(GROUP, "disk", Verdict.OK, disk.shown)
    return Check(GROUP, "disk", Verdict.BROKEN, disk.shown, disk.fix)


def _program(name: str, candidates: tuple[str, ...], purpose: str, fix: str) -> Check:
    for candidate in candidates:
        if path := shutil.which(candidate):
            return Check(GROUP, name, Verdict.OK, path)
    return Check(GROUP, name, Verdict.WARNING, f"not found; it {purpose}", fix)


def _servers(environment: Mapping[str, str]) -> Iterator[Check]:
    """The servers' programs; where the environment names such a server, its program may be missing."""
    programs: dict[str, tuple[str, Callable[[], Path]]] = {
        "nats-server": ("NATS_URL", binaries.nats_server),
        "redis-server": ("REDIS_URL", binaries.redis_server),
        "PostgreSQL": ("DATABASE_URL", binaries.postgres),
        "livekit-server": ("LIVEKIT_URL", lambda: binaries.livekit_server(environment.get("LIVEKIT_SERVER_BIN"))),
    }
    for name, (variable, find) in programs.items():
        try:
            yield Check(GROUP, name, Verdict.OK, str(find()))
        except CommandError as error:
            if variable not in environment:
                yield Check(GROUP, name, Verdict.BROKEN, error.problem, error.fix)


def network_interface() -> Check:
    """LiveKit's clients gather no candidates when only the loopback interface is up, even for media on loopback."""
    up = [name for _, name in socket.if_nameindex() if _is_up(name)]
    if up:
        return Check(GROUP, "network interface", Verdict.OK, ", ".join(up))
    return Check(
        GROUP,
        "network interface",
        Verdict.BROKEN,
        "only loopback is up, and LiveKit's clients cannot send media then",
        "bring one up; no route is needed: ip link add dummy0 type dummy && ip addr add 10.99.0.1/24 dev dummy0 "
        "&& ip link set dummy0 up",
    )


def _is_up(name: str) -> bool:
    request = array.array("B", struct.pack("16sH14s", name.encode(), 0, b""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, SIOCGIFFLAGS, request, True)
        except OSError:
            return False
    flags: int = struct.unpack("16xH14x", request.tobytes())[0]
    return bool(flags & IFF_UP) and not flags & IFF_LOOPBACK


def _port(environment: Mapping[str, str]) -> Check:
    wanted = environment.get("PORT", str(GATEWAY_PORT))
    port = read_port(wanted)
    if port is None:
        return Check(
            GROUP, "port", Verdict.BROKEN, f"PORT={wanted!r} is not a port", "set PORT to a number, or unset it"
        )
    if is_free(port):
        return Check(GROUP, "port", Verdict.OK, f"{LOOPBACK}:{wanted} is free for the gateway")
    return taken_port(holder(port), wanted, is_set="PORT" in os.environ or "PORT" in environment)


def taken_port(found: Holder, port: str, *, is_set: bool) -> Check:
    """The gateway's port is taken.

    Args:
        is_set: PORT names it, so `greenroom up` refuses to take another.
    """
    another = "another port with PORT or: greenroom up --port N"
    if found.option:
        fix = f"add {found.option} to each command to use that stack"
        fix += f"; for one of this folder choose {another}" if is_set else ""
    else:
        fix = f"stop it, or choose {another}" if is_set else ""
    if is_set:
        return Check(GROUP, "port", Verdict.BROKEN, f"port {port} (PORT) is taken by {found}", fix)
    detail = f"port {port} is taken by {found}; greenroom up will take another"
    return Check(GROUP, "port", Verdict.NOTE, detail, fix)
