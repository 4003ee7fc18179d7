"""The checker: is everything as the invariants say, in a running cell or in what was recorded of one?

    python -m tests.chaos.checker --nats nats://operator:...@127.0.0.1:4222 --redis ... --database ... [--max-bots 50]

Prints each invariant that does not hold, with the session and the evidence; exit code 1 then, 2 if a store is away. It
shares no code with the services: nats-py, redis, sqlalchemy and the standard library are all it has.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nats.errors import Error as NatsError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos.evidence import Evidence, Places, gather
from tests.chaos.judging import Violation, judge

PAUSE_S = 0.5
SHOWN = 20
AWAY = (NatsError, RedisError, SQLAlchemyError, OSError, TimeoutError)


async def violations(places: Places, *, within_s: float, **rules: Any) -> tuple[list[Violation], Evidence]:
    """Read and judge until all invariants hold, or until the time expires; returns the violations then.

    Args:
        within_s: The time that projectors, reconcilers and expiries are given, in seconds.
        rules: The arguments of `judge`.
    """
    until = time.monotonic() + within_s
    while True:
        evidence = await gather(places)
        found = judge(evidence, **rules)
        if not found or time.monotonic() >= until:
            return found, evidence
        await asyncio.sleep(PAUSE_S)


async def check(
    places: Places, *, within_s: float = 60.0, save: Path | None = None, why: Callable[[], str] = str, **rules: Any
) -> Evidence:
    """Assert that all invariants hold; returns the evidence, for the next check's `earlier`."""
    found, evidence = await violations(places, within_s=within_s, **rules)
    if found and save is not None:
        save.write_text(evidence.to_json())
    assert not found, f"{report(found)}\n{why()}"
    return evidence


def report(found: Iterable[Violation]) -> str:
    """All of them as text, the first SHOWN in full."""
    lines = [str(violation) for violation in found]
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([f"{len(lines)} invariants do not hold:", *lines[:SHOWN], *more])


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.checker", description=__doc__)
    for name, help_ in (
        ("nats", "NATS_URL of a user who may read everything, such as the operator"),
        ("redis", "REDIS_URL, likewise"),
        ("database", "DATABASE_URL with its driver, such as sqlite+aiosqlite:///billing.sqlite"),
        ("livekit", "LIVEKIT_URL; its key and secret are LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
    ):
        parser.add_argument(f"--{name}", help=help_)
    parser.add_argument("--max-bots", type=int, help="MAX_BOTS of the cell")
    parser.add_argument("--within", type=float, default=0.0, help="seconds in which all must come to hold")
    parser.add_argument(
        "--grace", type=float, default=60.0, help="seconds after its end in which a session may be late"
    )
    parser.add_argument("--running", action="store_true", help="sessions may still run")
    parser.add_argument("--save", type=Path, help="write what was read into this file")
    parser.add_argument("--recorded", type=Path, help="judge this file instead of a running cell")
    given = parser.parse_args(words)
    if (given.nats is None) == (given.recorded is None):
        parser.error("give either --nats or --recorded")
    return given


def main(words: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    given = _arguments(sys.argv[1:] if words is None else words)
    rules = {"max_bots": given.max_bots, "grace_ms": round(given.grace * 1000), "running": given.running}
    if given.recorded is not None:
        evidence = Evidence.from_json(given.recorded.read_text())
        found = judge(evidence, **rules)
    else:
        places = Places(
            nats=given.nats,
            redis=given.redis,
            database=given.database,
            livekit=given.livekit,
            livekit_key=os.environ.get("LIVEKIT_API_KEY", ""),
            livekit_secret=os.environ.get("LIVEKIT_API_SECRET", ""),
        )
        try:
            found, evidence = asyncio.run(violations(places, within_s=given.within, **rules))
        except AWAY as error:
            sys.stderr.write(f"a store does not answer: {type(error).__name__}: {error}\n")
            return 2
    if given.save is not None:
        given.save.write_text(evidence.to_json())
    if found:
        sys.stdout.write(f"{report(found)}\n")
        return 1
    sys.stdout.write(f"all ten invariants hold: {evidence.last_seq} events up to sequence {evidence.last_seq}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
