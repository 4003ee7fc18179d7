"""The four services: the gateway directly, the others through it and NATS."""

# pyright: reportUnknownMemberType=false

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from chassis.nats import BusUnavailable, StreamMissing
from contracts.errors import BILLING_UNAVAILABLE, FORBIDDEN, UNKNOWN_SESSION
from contracts.ids import session_id
from contracts.streams import LEADERS
from greenroom_cli.doctor.check import Broken, Check, Verdict
from greenroom_cli.doctor.clocks import Clocks
from greenroom_cli.doctor.nats_client import ANSWER_S, nats_reached
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway, GatewayRefused
from greenroom_cli.settings import Settings

GROUP = "services"
LIMIT_S = 8.0
LEASE_AGE_S = 1.0  # average age when it is read
SERVICES = ("gateway", "scheduler", "billing", "nodes")


async def check_services(
    settings: Settings, environment: Mapping[str, str], clocks: Clocks, *, stack_is_running: bool
) -> list[Check]:
    """Check the state folder's stack, or the gateway of GREENROOM_URL and its dependencies.

    A gateway at the default address is checked if it answers; otherwise it may not be wanted at all.
    """
    is_named = stack_is_running or "GREENROOM_URL" in environment
    async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
        try:
            reasons = await gateway.ready()
        except CommandError as error:
            if not is_named:
                none = "no stack runs in the folder of --state, GREENROOM_URL is not set"
                why = f"{none}, and nothing serves {gateway.url}"
                return [_unchecked(name, why) for name in SERVICES]
            broken = Check(GROUP, "gateway", Verdict.BROKEN, error.problem, error.fix)
            rest = [_unchecked(name, "the gateway does not answer") for name in ("billing", "nodes")]
            return [broken, await _within(_scheduler(settings, environment, clocks), "scheduler"), *rest]
        if gateway.clock_ahead_s is not None:
            clocks["the gateway"] = gateway.clock_ahead_s
        return [
            _gateway(gateway, reasons),
            *await asyncio.gather(
                _within(_scheduler(settings, environment, clocks), "scheduler"),
                _within(_asked("billing", gateway, _billing), "billing"),
                _within(_asked("nodes", gateway, _nodes), "nodes"),
            ),
        ]


def _gateway(gateway: Gateway, reasons: Mapping[str, str]) -> Check:
    if not reasons:
        return Check(GROUP, "gateway", Verdict.OK, f"{gateway.url} is ready")
    detail = f"{gateway.url} is not ready: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return Check(GROUP, "gateway", Verdict.BROKEN, detail, "read the gateway's log")


async def _asked(name: str, gateway: Gateway, ask: Callable[[Gateway], Awaitable[Check]]) -> Check:
    try:
        return await ask(gateway)
    except GatewayRefused as refusal:
        if refusal.code == FORBIDDEN.code:
            return Check(GROUP, name, Verdict.UNCHECKED, refusal.problem, refusal.fix)
        return Check(GROUP, name, Verdict.BROKEN, refusal.problem, refusal.fix)
    except CommandError as error:
        return Check(GROUP, name, Verdict.BROKEN, error.problem, error.fix)


async def _billing(gateway: Gateway) -> Check:
    """Ask for the bill of an unknown session: only billing can answer that it does not exist."""
    try:
        await gateway.session_bill(session_id(0, secrets.token_bytes(8)))
    except GatewayRefused as refusal:
        if refusal.code == BILLING_UNAVAILABLE.code:
            return Check(GROUP, "billing", Verdict.BROKEN, refusal.problem, "start billing, and read its log")
        if refusal.code != UNKNOWN_SESSION.code:
            raise
    return Check(GROUP, "billing", Verdict.OK, "it answers the gateway")


async def _nodes(gateway: Gateway) -> Check:
    stats = await gateway.stats()
    away = [
        f"{name}: {dependency.detail}"
        for name, dependency in (("Redis", stats.redis), ("NATS", stats.nats), ("LiveKit", stats.livekit))
        if not dependency.ok
    ]
    if away:
        return Check(GROUP, "nodes", Verdict.BROKEN, f"the gateway does not reach {'; '.join(away)}", "read its log")
    if not stats.pool:
        detail = "no agent-runner is alive, so every start waits and is then rejected"
        return Check(GROUP, "nodes", Verdict.BROKEN, detail, "start one, and read its log")
    free = sum(pool.free for pool in stats.pool if not pool.draining)
    detail = f"{len(stats.pool)} alive, {sum(pool.warm for pool in stats.pool)} warm worker(s), {free} free slot(s)"
    if free == 0:
        return Check(GROUP, "nodes", Verdict.WARNING, detail, "add nodes, or raise NODE_SLOTS")
    return Check(GROUP, "nodes", Verdict.OK, detail)


async def _scheduler(settings: Settings, environment: Mapping[str, str], clocks: Clocks) -> Check:
    """Read the leader's lease, which it renews every two seconds; NATS' clock gives its age."""
    if "NATS_URL" not in environment:
        return _unchecked("scheduler", "its lease is in NATS, and NATS_URL is not set")
    try:
        async with nats_reached(settings) as bus:
            try:
                lease = await bus.bucket(LEADERS).get("scheduler", deadline_s=ANSWER_S)
            except StreamMissing:
                lease = None
            except BusUnavailable as error:
                return _unchecked("scheduler", f"cannot read its lease: {error.doing}")
    except Broken as error:
        return _unchecked("scheduler", f"its lease is in NATS: {error}")
    if lease is None:
        detail = "no scheduler leads, so no start gets an agent"
        return Check(GROUP, "scheduler", Verdict.BROKEN, detail, "start one, and read its log")
    clocks["NATS"] = time.time() - lease.stored_ms / 1000 - LEASE_AGE_S
    return Check(GROUP, "scheduler", Verdict.OK, "one leads")


async def _within(check: Awaitable[Check], name: str) -> Check:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await check
    except TimeoutError:
        return Check(GROUP, name, Verdict.BROKEN, f"no answer within {LIMIT_S:g} s", "read its log")


def _unchecked(name: str, why: str) -> Check:
    return Check(GROUP, name, Verdict.UNCHECKED, why)
