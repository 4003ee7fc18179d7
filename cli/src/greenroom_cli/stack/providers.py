"""The sandbox, and the providers that it replaces."""

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from greenroom_cli.stack.ports import LOOPBACK
from greenroom_cli.stack.process import ProcessSpec
from greenroom_cli.stack.readiness import serves

SANDBOX_KEY = "sandbox"
NAMES = {"ASSEMBLY_API_KEY": "AssemblyAI", "GROQ_API_KEY": "Groq", "INWORLD_API_KEY": "Inworld"}
# Per provider: the variable of its key, and its addresses (scheme) on the sandbox's port.
ADDRESSES = {
    "ASSEMBLY_API_KEY": {"ASSEMBLY_BASE_URL": "ws://{host}/v3/ws"},
    "GROQ_API_KEY": {"GROQ_BASE_URL": "http://{host}/openai/v1"},
    "INWORLD_API_KEY": {
        "INWORLD_BASE_URL": "ws://{host}/tts/v1/voice:streamBidirectional",
        "INWORLD_HTTP_URL": "http://{host}",
    },
}


def missing_keys(environment: Mapping[str, str]) -> list[str]:
    """The providers' keys that the environment lacks; the sandbox replaces these providers."""
    return [name for name in ADDRESSES if not environment.get(name)]


def sandbox_environment(port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Keys and addresses of the sandbox, for each provider without a real key."""
    host = f"{LOOPBACK}:{port}"
    found: dict[str, str] = {}
    for key in missing_keys(environment):
        found[key] = SANDBOX_KEY
        found.update({name: template.format(host=host) for name, template in ADDRESSES[key].items()})
    return found


def sandbox_address(environment: Mapping[str, str]) -> str | None:
    """The sandbox's address, from the environment of a running stack; None if it replaces no provider."""
    for key, addresses in ADDRESSES.items():
        if environment.get(key) == SANDBOX_KEY:
            return f"http://{urlsplit(environment[next(iter(addresses))]).netloc}"
    return None


def sandbox(port: int, environment: Mapping[str, str]) -> ProcessSpec:
    return ProcessSpec(
        name="sandbox",
        command=(sys.executable, "-m", "sandbox"),
        environment={
            **environment,
            **dict.fromkeys(("SANDBOX_ASSEMBLY_KEY", "SANDBOX_GROQ_KEY", "SANDBOX_INWORLD_KEY"), SANDBOX_KEY),
            "SANDBOX_HOST": LOOPBACK,
            "SANDBOX_PORT": str(port),
        },
        ready=serves(f"http://{LOOPBACK}:{port}/health"),
        ready_timeout_s=30.0,
        restarts=True,
    )
