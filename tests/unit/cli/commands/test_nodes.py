"""What `nodes drain` says: the limit, and that no other node takes calls."""

import pytest
from typer.testing import CliRunner

from contracts.api import Dependency, DrainStarted, PoolStats, StatsReply
from greenroom_cli.app import app
from greenroom_cli.commands.nodes import described
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import Gateway

OK = Dependency(ok=True)


def node(name: str, *, draining: bool = False) -> PoolStats:
    return PoolStats(node_id=name, warm=1, busy=1, free=1, slots=2, draining=draining, load=0, processes=2)


def drain(monkeypatch: pytest.MonkeyPatch, *others: PoolStats, can_look: bool = True) -> tuple[str, str]:
    """Drain n1, which has one call, beside these nodes; what the command printed and warned of."""

    async def drained(_gateway: Gateway, node_id: str, limit_s: float) -> DrainStarted:
        assert limit_s == 90
        return DrainStarted(node_id=node_id, jobs=1)

    async def stats(_gateway: Gateway) -> StatsReply:
        if not can_look:
            raise CommandError("no scope")
        pool = [node("n1", draining=True), *others]
        return StatsReply(
            active=1, starting=0, queued=0, max_bots=5, nodes=1, processes=2, redis=OK, nats=OK, livekit=OK, pool=pool
        )

    monkeypatch.setattr(Gateway, "drain", drained)
    monkeypatch.setattr(Gateway, "stats", stats)
    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["nodes", "drain", "n1", "--limit-s", "90"])
    assert result.exit_code == 0
    return result.stdout, result.stderr


@pytest.mark.parametrize("others", [(), (node("n2", draining=True),)], ids=["alone", "the others drain, too"])
def test_the_drain_of_the_last_node_that_takes_calls_is_warned_of(
    others: tuple[PoolStats, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, warned = drain(monkeypatch, *others)

    assert "after 90 s end, as no other node can take them over" in said
    assert warned.startswith("no other node takes calls: ")
    assert warned.count("\n") == 1


@pytest.mark.parametrize("can_look", [True, False])
def test_a_drain_beside_a_node_that_takes_calls_says_its_limit_alone(
    can_look: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, warned = drain(monkeypatch, node("n2"), can_look=can_look)

    assert "n1 takes no new calls and stops after its 1 call(s); calls that still run after 90 s are handed" in said
    assert not warned


def test_a_node_without_calls_stops() -> None:
    told = described(DrainStarted(node_id="n1", jobs=0), 600, is_last=True)

    assert told == "n1 takes no new calls, has none, and stops"


def test_drain_alone_points_to_the_nodes() -> None:
    result = CliRunner().invoke(app, ["drain", "n1", "--limit-s", "5"])

    assert isinstance(result.exception, CommandError)
    assert result.exception.fix == "use: greenroom nodes drain NODE"
