"""Names in `.env` that nothing reads but that resemble a variable of Greenroom, so probably typing errors."""

from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from chassis.environment import is_given
from greenroom_cli import env_file
from greenroom_cli.env_file import Finding

# difflib's ratio of two names. One wrong, missing, doubled or swapped letter of a name of six or more is nearer, and so
# is GROQ_APIKEY. What other programs keep in their .env is farther: MAX_TOKENS (0.83), REDIS_PASSWORD (0.80).
NEAR: Final = 0.84

# What compose.yaml itself reads, for the servers.
_OF_COMPOSE: Final = frozenset(
    {
        *("POSTGRES_PASSWORD", "NODE_IP", "DOCKER_LIVEKIT_URL", "MEDIA_NETWORK", "LIVEKIT_USE_EXTERNAL_IP", "DOMAIN"),
        *("TURN_DOMAIN", "LOCAL_CA", "PLAIN_ADDRESS", "NODE_MEMORY", "COMPOSE_PROFILES", "GRAFANA_ADMIN_PASSWORD"),
    }
)


def misspelt(file: Path) -> list[Finding]:
    """The names in a file that neither Greenroom nor the system's libraries know, and that are near a known one."""
    written = env_file.read(file)
    known = known_variables() if written else frozenset[str]()
    found: list[Finding] = []
    for name in written:
        if name in known or is_given(name):
            continue
        for meant in get_close_matches(name.upper(), sorted(known), n=1, cutoff=NEAR):
            fix = f"did you mean {meant}? If another program reads it, leave it"
            found.append(Finding(name, "no part of Greenroom has this setting", fix))
    return found


def known_variables() -> frozenset[str]:
    """The variables that the services, the sandbox, the commands and compose.yaml read."""
    from chassis.settings import variables
    from greenroom_cli.settings import Settings
    from greenroom_cli.stack import Part
    from greenroom_cli.stack.environment import variables_of

    absent = frozenset[Part]() if find_spec("sandbox") else {Part.SANDBOX}  # an image for real providers
    return compose_variables() | variables(Settings).union(*(variables_of(part) for part in Part if part not in absent))


def compose_variables() -> frozenset[str]:
    """The variables that compose.yaml reads for the servers; the services' own variables are in their settings."""
    from contracts.users import NATS_USERS, REDIS_USERS, nats_variable, redis_variable

    passwords = [nats_variable(user.name) for user in NATS_USERS] + [redis_variable(user.name) for user in REDIS_USERS]
    return _OF_COMPOSE.union(passwords)
