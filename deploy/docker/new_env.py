"""Writes .env from .env.example with a different secret for each `change-me`, and with this machine's addresses.

An existing .env keeps its lines; secrets and addresses that it lacks, which a later version needs, are added.
`make .env DOMAIN=voice.example.org` chooses the addresses of a deployment with TLS (docs/deploy/tls.md).
"""

import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SET = re.compile(r"^(?:export +)?(\w+)=", re.MULTILINE)
PLACEHOLDER = re.compile(r"^(?!#)(\w+)=change-me[\w-]*$", re.MULTILINE)
HERE = "127.0.0.1"
NO = ("", "0", "false", "no")


def filled(example: str) -> str:
    """The example with 192 random bits for each placeholder that is not commented out."""
    return PLACEHOLDER.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", example)


def lacking(env: str, example: str) -> str:
    """Lines with new secrets for the example's placeholders that an existing .env does not set."""
    there = set(SET.findall(env))
    return "".join(
        f"{line}\n" for line in filled(example).splitlines() if line.partition("=")[0] in _asked(example) - there
    )


def _asked(example: str) -> set[str]:
    return {found[1] for found in PLACEHOLDER.finditer(example)}


def own_address() -> str:
    """The address from which this machine reaches other networks; 127.0.0.1 without one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return HERE
        return probe.getsockname()[0]


def is_own(address: str) -> bool:
    """Whether this machine has the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def addresses(given: Mapping[str, str], address: str) -> dict[str, tuple[str, str]]:
    """By variable, its value and what that means.

    Args:
        given: DOMAIN, TURN_DOMAIN and LOCAL_CA of a deployment with TLS, if any.
        address: Of this machine.
    """
    found = {"NODE_IP": (address, "callers' media arrives there, on 7881 (TCP) and 7882 (UDP)")}
    domain = given.get("DOMAIN")
    if not domain:
        reach = "this machine alone: it has no network" if address == HERE else "callers who reach that address"
        found["DOCKER_LIVEKIT_URL"] = (f"ws://{address}:7880", f"for {reach}")
        return found
    if _is_address(domain):
        found["DOMAIN"] = (domain, "no TURN, which needs a name")
    else:
        found["DOMAIN"] = (domain, "its DNS record must lead to this machine's public address")
        found["TURN_DOMAIN"] = (given.get("TURN_DOMAIN") or f"turn.{domain}", "so must this one's")
    found["DOCKER_LIVEKIT_URL"] = (f"wss://{domain}", "LiveKit's signalling shares the name")
    found["PLAIN_ADDRESS"] = (HERE, "without TLS only this machine is served")
    # Docker's default pools, where Caddy is. Caddy replaces a caller's own X-Forwarded-For.
    found["FORWARDED_ALLOW_IPS"] = ("172.16.0.0/12,192.168.0.0/16", "the log names callers instead of Caddy")
    found["COMPOSE_PROFILES"] = ("tls", "starts Caddy, on 80 and 443")
    if given.get("LOCAL_CA", "").lower() not in NO:
        found["LOCAL_CA"] = ("true", "callers must trust Caddy's own authority")
    elif ipaddress.ip_address(address).is_private:
        found["LIVEKIT_USE_EXTERNAL_IP"] = (
            "true",
            f"{address} is private: LiveKit asks a STUN server for the public one",
        )
    return found


def main() -> None:
    env, example = ROOT / ".env", (ROOT / ".env.example").read_text()
    text = env.read_text() if env.exists() else ""
    if not text:
        env.touch(mode=0o600)
        text = filled(example)
        print("wrote .env with new secrets")
    else:
        added = lacking(text, example)
        if added:
            text = f"{text.rstrip()}\n\n# Further secrets of this version.\n{added}"
            print("added to .env:", ", ".join(SET.findall(added)))
    there = set(SET.findall(text))
    own = own_address()
    chosen = {name: value for name, value in addresses(os.environ, own).items() if name not in there}
    if chosen:
        lines = "".join(f"{name}={value}\n" for name, (value, _) in chosen.items())
        text = f"{text.rstrip()}\n\n# Addresses, chosen by `make .env`.\n{lines}"
        for name, (value, meaning) in chosen.items():
            print(f"chose {name}={value}: {meaning}")
    if text != (env.read_text() if env.exists() else ""):
        env.write_text(text)
    for stale in re.findall(r"^NODE_IP=(\S+)$", text, re.MULTILINE)[-1:]:
        if not is_own(stale):
            print(f"NODE_IP={stale} in .env is not an address of this machine: set it to {own}, or media fails")
        elif stale == HERE != own:  # written while the machine had no network
            print(f"NODE_IP={stale} in .env serves this machine alone: for other callers set it to {own}")


if __name__ == "__main__":
    main()
