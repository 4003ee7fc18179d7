"""A following on fakes, for tests of what billing reads and when."""

from collections.abc import Iterable

from billing.domain.ledger import Account
from billing.domain.rating import Tariff
from billing.domain.usage import Recorded
from billing.follower.following import Following
from billing.follower.settling import Settling
from chassis.metrics import REGISTRY
from tests.support.billing.fakes import FakeLedger, FakeLog
from tests.support.events import SESSION


class Scene:
    """A following on fakes, with a clock that the test moves."""

    def __init__(self, records: Iterable[Recorded] = (), *, ledger: FakeLedger | None = None, price: int = 1) -> None:
        self.log, self.ledger = FakeLog(list(records)), ledger or FakeLedger()
        self.monotonic_s = 1_000.0
        self.following = Following(
            self.log,
            self.ledger,
            Settling(self.log, self.ledger, Tariff(price)),
            look_every_s=15,
            now=lambda: 1_764_100_000.0,
            clock=lambda: self.monotonic_s,
        )

    async def restart(self) -> None:
        """Begin at the position and read all that is behind it."""
        behind = await self.following.begin()
        await self.following.turn([r for r in self.log.records if r.seq > behind and r.event.event != "billed"])

    async def later(self, seconds: float = 60, *arrived: Recorded) -> None:
        self.monotonic_s += seconds
        self.log.records += arrived
        await self.following.turn(list(arrived))

    async def account(self, session_id: str = SESSION) -> Account:
        account = await self.ledger.account(session_id)
        assert account is not None
        return account


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0
