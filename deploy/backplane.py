"""Writes what NATS and Redis must know about the services' users: `python deploy/backplane.py`, part of `make docs`.

The permissions are in contracts/users.py. deploy/nats/nats.conf and deploy/redis/redis-server hold them for Docker
Compose, with the passwords as environment variables of their containers; deploy/check.py holds them against the code.
"""

from pathlib import Path

from contracts.server_config import nats_authorization, redis_users
from contracts.users import NATS_USERS, REDIS_USERS, nats_variable, redis_variable

DEPLOY = Path(__file__).resolve().parent

_NATS = """\
# Written by deploy/backplane.py from contracts/users.py. The passwords come from the environment.
# An acknowledged event is on the disk: `always` costs 0.25 ms a publish and saves the log from a power cut.
listen: "0.0.0.0:4222"
# Monitoring, for the container's own health check: docker compose exec nats wget -qO- http://127.0.0.1:8222/jsz
http: "127.0.0.1:8222"
max_payload: 1MB
jetstream {
  store_dir: "/data"
  sync_interval: always
}
"""

_REDIS = """\
#!/bin/sh
# Written by deploy/backplane.py from contracts/users.py. The passwords come from the environment and reach Redis on its
# standard input, so that neither a file nor the list of processes shows them.
exec "${ENTRYPOINT:-docker-entrypoint.sh}" redis-server - "$@" <<CONFIGURATION
appendonly yes
maxmemory-policy noeviction
"""


def documents() -> dict[Path, str]:
    """Each file and the text that it should hold."""
    nats = nats_authorization(NATS_USERS, {user.name: f"${nats_variable(user.name)}" for user in NATS_USERS})
    redis = redis_users(REDIS_USERS, {user.name: f"${redis_variable(user.name)}" for user in REDIS_USERS})
    return {
        DEPLOY / "nats" / "nats.conf": _NATS + nats,
        DEPLOY / "redis" / "redis-server": f"{_REDIS}{redis}CONFIGURATION\n",
    }


def variables() -> dict[str, set[str]]:
    """The passwords that each of the two servers' containers needs."""
    return {
        "nats": {nats_variable(user.name) for user in NATS_USERS},
        "redis": {redis_variable(user.name) for user in REDIS_USERS},
    }


if __name__ == "__main__":
    for file, text in documents().items():
        file.write_text(text, encoding="utf-8")
    (DEPLOY / "redis" / "redis-server").chmod(0o755)
