"""What `top` asks the gateway."""

from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.problem import problem_of
from contracts.api import PoolStats
from contracts.api_v1 import SessionPage
from contracts.errors import FORBIDDEN, Refused
from greenroom_cli.commands import top
from greenroom_cli.gateway import GatewayRefused


class Refusing:
    """A gateway for a key that lacks the scope `admin`."""

    def __init__(self) -> None:
        self.asked = 0

    async def stats(self) -> None:
        self.asked += 1
        raise GatewayRefused(problem_of(Refused(FORBIDDEN, "d"), "r"), "http://gateway")

    async def sessions(self, _query: object) -> SessionPage:
        return SessionPage(items=[])


async def test_a_key_that_may_not_read_the_totals_asks_for_them_once() -> None:
    gateway: Any = Refusing()
    view = top._View("age", (), None)  # pyright: ignore[reportPrivateUsage]

    seen = [await top._look(gateway, view) for _ in range(3)]  # pyright: ignore[reportPrivateUsage]

    assert [one.stats for one in seen] == [None] * 3
    assert gateway.asked == 1


def test_a_draining_node_is_named_with_the_time_since_when() -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    old = PoolStats(node_id="n1", warm=0, busy=1, free=0, slots=1, draining=True, load=0, processes=2)
    new = old.model_copy(update={"drain_since": now - timedelta(minutes=4, seconds=3)})

    assert top._draining(new, now) == "n1 for 4 m 3 s"  # pyright: ignore[reportPrivateUsage]
    assert top._draining(old, now) == "n1"  # pyright: ignore[reportPrivateUsage]
