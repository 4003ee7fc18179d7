"""When the agent's audio waits for a caller whose packets are missing, and how much is said again."""

import asyncio
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from agent_runner.domain.reception import GAP_S, LONGEST_S, PROOF_S
from agent_runner.link.messages import Unreachable
from agent_runner.worker.call import reach

STEP_S = 0.05


class Call:
    """A call of a silent caller: when its packets come, and what the valve is told. Time passes in the looks alone."""

    def __init__(self, *gaps: tuple[float, float], until: float) -> None:
        self.now = 0.0
        self.told: list[tuple[str, float, float]] = []  # what, when, and for how long
        self.said: list[Unreachable] = []
        self.missed_s = 1.4
        self._gaps = gaps
        self._until = until
        self.valve = self.client = self.transport = self
        self.sound_at = -1.0
        self.leaves_at = self.mutes_at = inf

    @property
    def caller_in_room(self) -> bool:
        return self.now <= self.leaves_at

    async def packets(self) -> int | None:
        if self.now > min(self.leaves_at, self.mutes_at):
            return None
        steps = [step * STEP_S for step in range(round(self.now / STEP_S) + 1)]
        return sum(not any(begin < at < end for begin, end in self._gaps) for at in steps)

    def lost(self, for_s: float) -> None:
        self.told.append(("lost", self.now, for_s))

    async def found(self) -> None:
        self.told.append(("found", self.now, 0.0))
        await asyncio.Event().wait()  # the agent says much again

    async def run(self, monkeypatch: pytest.MonkeyPatch) -> "Call":
        """Look at the packets until the call's end."""

        async def sleep(delay_s: float) -> None:
            self.now += delay_s
            await asyncio.sleep(0)

        monkeypatch.setattr(reach, "asyncio", SimpleNamespace(sleep=sleep))
        monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: self.now))
        async with asyncio.timeout(5):
            await reach.keep_in_reach(
                cast(Any, self), lambda: self.now >= self._until, self.said.append, structlog.get_logger()
            )
        return self


@pytest.mark.parametrize("begin", [PROOF_S + 2 + tenths / 10 for tenths in range(1, 6)])
async def test_all_since_the_last_packet_is_said_again(monkeypatch: pytest.MonkeyPatch, begin: float) -> None:
    (what, at, for_s), *_ = (await Call((begin, 99), until=begin + 3).run(monkeypatch)).told
    assert what == "lost"
    assert 0 <= for_s - (at - begin) <= 0.6, "no more than half a second twice"


async def test_a_network_that_is_lost_again_while_the_agent_says_it_again_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = PROOF_S + 2
    call = await Call((begin, begin + 4), (begin + 4.5, begin + 8), until=begin + 10).run(monkeypatch)
    assert [what for what, *_ in call.told] == ["lost", "found", "lost", "found"]
    assert call.told[2][1] < begin + 4.5 + 2


async def test_a_caller_whom_livekit_removed_in_the_hold_is_not_logged_as_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = PROOF_S + 2
    call = Call((begin, 99), until=begin + 8)
    call.leaves_at = begin + 6
    with capture_logs() as logged:
        await call.run(monkeypatch)
    assert [what for what, *_ in call.told] == ["lost", "found"]
    assert [line["event"] for line in logged] == ["caller.unreachable"]


@pytest.mark.parametrize(
    ("how", "end", "after_s", "again_ms"),
    [
        ("comes back", "back", 6.0, 1_400),
        ("comes back muted", "back", 6.0, 1_400),
        ("is removed", "left", 6.0, 0),
        ("stays", "given_up", LONGEST_S, 1_400),
    ],
)
async def test_the_supervisor_is_told_when_the_agent_waits_and_why_it_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch, how: str, end: str, after_s: float, again_ms: int
) -> None:
    begin = PROOF_S + 2
    call = Call((begin, begin + 6 if how == "comes back" else 99), until=begin + LONGEST_S + 3)
    if how == "is removed":
        call.leaves_at = begin + 6
    elif how == "comes back muted":
        call.mutes_at = begin + 6
    waits, no_longer = (await call.run(monkeypatch)).said
    assert (waits.end, waits.again_ms) == ("", 0)
    assert 1000 * GAP_S <= waits.ms <= 1000 * GAP_S + 500
    assert (no_longer.end, no_longer.again_ms) == (end, again_ms)
    assert abs(no_longer.ms - 1000 * after_s) <= 500
