"""Writes the users of NATS and Redis into their configuration: `python deploy/backplane.py`, part of `make docs`.

The permissions are in contracts/users.py. deploy/nats/nats.conf and deploy/redis/redis-server hold them for Docker
Compose, with the passwords as environment variables of their containers; deploy/nats/nats-server moves the streams of a
version without accounts. deploy/check.py holds them against the code.
"""

from pathlib import Path

from contracts.server_config import nats_accounts, redis_users
from contracts.users import ACCOUNT, NATS_USERS, REDIS_USERS, nats_variable, redis_variable

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

_NATS_SERVER = f"""\
#!/bin/sh
# Written by deploy/backplane.py. Starts nats-server in its container. A version without accounts kept its streams in
# the account $G: their folder moves to the account {ACCOUNT}, once.
set -eu
store="${{STORE:-/data}}/jetstream"
old="$store/\\$G" new="$store/{ACCOUNT}"
if [ -n "$(ls -A "$old/streams" 2>/dev/null)" ]; then
  if [ -n "$(ls -A "$new/streams" 2>/dev/null)" ]; then
    echo "both $old and $new hold streams: see docs/runbooks/backplane-users.md" >&2
    exit 1
  fi
  rm -rf "$new"
  mv "$old" "$new"
  sync
  echo "moved the streams to the account {ACCOUNT}"
fi
exec nats-server "$@"
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
    """By file, its generated text."""
    nats = nats_accounts(NATS_USERS, {user.name: f"${nats_variable(user.name)}" for user in NATS_USERS})
    redis = redis_users(REDIS_USERS, {user.name: f"${redis_variable(user.name)}" for user in REDIS_USERS})
    return {
        DEPLOY / "nats" / "nats.conf": _NATS + nats,
        DEPLOY / "nats" / "nats-server": _NATS_SERVER,
        DEPLOY / "redis" / "redis-server": f"{_REDIS}{redis}CONFIGURATION\n",
    }


def variables() -> dict[str, set[str]]:
    """The passwords that the containers of the two servers need."""
    return {
        "nats": {nats_variable(user.name) for user in NATS_USERS},
        "redis": {redis_variable(user.name) for user in REDIS_USERS},
    }


if __name__ == "__main__":
    for file, text in documents().items():
        file.write_text(text, encoding="utf-8")
    for script in (DEPLOY / "redis" / "redis-server", DEPLOY / "nats" / "nats-server"):
        script.chmod(0o755)
