"""The ledger of a version that kept its place on the bus: bills, no position, and the durable consumer's place."""

from billing.domain.usage import Recorded
from billing.ports import Position
from tests.support.billing.fakes import FakeLedger
from tests.support.billing.logs import call, log_of
from tests.support.billing.scene import Scene, metric
from tests.support.events import assigned, ended, requested, started, stopped, tick


def session(n: int, *, late: int = 0) -> tuple[Recorded, ...]:
    name = f"session_{n}"
    events = (requested(name), assigned(session_id=name), started(session_id=name), tick(5_000, session_id=name))
    late_events = [stopped(65_000 + at, session_id=name) for at in range(late)]
    return log_of(*events, ended(5_000, session_id=name), *late_events, first_seq=100 * n)


async def settled(*logs: tuple[Recorded, ...]) -> FakeLedger:
    """What the older version left."""
    scene = Scene(record for log in logs for record in log)
    await scene.restart()
    scene.ledger.kept = None
    return scene.ledger


def replayed(*logs: tuple[Recorded, ...], ledger: FakeLedger, place: int) -> Scene:
    scene = Scene((record for log in logs for record in log), ledger=ledger)
    scene.log.shown = place
    return scene


async def test_the_first_start_reads_no_history_of_what_is_settled_and_makes_what_is_missing() -> None:
    logs = session(1), session(2), session(3)
    ledger = await settled(logs[0], logs[2])
    before = dict(ledger.entries)
    scene = replayed(*logs, ledger=ledger, place=logs[2][-1].seq)

    await scene.following.begin()
    for record in (r for log in logs for r in log):
        await scene.following.turn([record])

    assert scene.log.read == ["session_2"]
    assert set(ledger.settlements_by_id) == {"session_1", "session_2", "session_3"}
    assert before.items() <= ledger.entries.items()


async def test_until_the_first_start_has_passed_the_old_place_the_old_place_is_shown() -> None:
    logs = session(1), session(2)
    ledger = await settled(logs[0])
    place = logs[0][-1].seq
    scene = replayed(*logs, ledger=ledger, place=place)

    await scene.following.begin()
    for record in logs[0][:-1]:
        scene.monotonic_s += 3
        await scene.following.turn([record])
        await scene.following.look(is_idle=False)
        assert (scene.log.shown, scene.log.moves, ledger.kept) == (place, 0, None)
    for record in (logs[0][-1], *logs[1]):
        scene.monotonic_s += 3
        await scene.following.turn([record])
        await scene.following.look(is_idle=False)

    assert scene.log.shown == logs[1][-1].seq
    assert ledger.kept == Position(1, logs[1][-1].seq)


async def test_what_the_log_drops_before_the_old_place_is_no_gap() -> None:
    logs = session(1), session(2)
    scene = replayed(*logs, ledger=await settled(*logs), place=logs[1][-1].seq)
    await scene.following.begin()
    scene.log.records = list(logs[1])

    await scene.following.look(is_idle=False)

    assert not scene.ledger.gaps


async def test_an_empty_ledger_shows_that_everything_is_to_be_read() -> None:
    log = session(1)
    scene = replayed(log, ledger=FakeLedger(), place=log[-1].seq)

    await scene.following.begin()
    await scene.following.look(is_idle=False)

    assert scene.log.shown == log[0].seq - 1


async def test_a_settled_session_whose_beginning_the_log_dropped_is_no_dead_letter() -> None:
    log = session(1, late=2)
    for first in (1, 4, 5):  # without `requested`; with `ended` and what is late; with that alone
        ledger = await settled(log)
        entries = dict(ledger.entries)
        scene = replayed(log[first:], ledger=ledger, place=log[-1].seq)
        before = metric("billing_unbillable_total")

        await scene.following.begin()
        for record in log[first:]:
            await scene.following.turn([record])

        assert not scene.log.buried
        assert metric("billing_unbillable_total") == before
        assert ledger.entries == entries
        assert len(scene.log.announced) == (first != 5), "what left the log is not announced again"


async def test_a_stuck_session_holds_back_the_position_and_not_what_is_shown() -> None:
    logs = session(1), session(2)
    scene = Scene(record for log in logs for record in log)
    scene.ledger.refused = {"session_1"}
    await scene.restart()
    for _ in range(8):
        await scene.later(60)
    await scene.following.look(is_idle=False)

    assert scene.log.shown == logs[1][-1].seq
    assert scene.ledger.kept is not None
    assert scene.ledger.kept.seq < logs[0][-1].seq
    assert metric("billing_stuck_sessions") == 1


async def test_a_stuck_session_alone_is_no_outage_for_the_others() -> None:
    stuck, other = session(1), session(2)
    scene = Scene(stuck)
    scene.ledger.refused = {"session_1"}
    await scene.restart()
    await scene.later(60, *other)
    for _ in range(8):
        await scene.later(60)  # it alone is tried, and fails

    await scene.later(0.1, *session(3))

    assert "session_3" in scene.ledger.settlements_by_id


async def test_a_mark_that_has_not_moved_is_not_made_again() -> None:
    scene = Scene(call(61_000))
    await scene.restart()
    for _ in range(5):
        await scene.later(3)
        await scene.following.look(is_idle=False)

    assert scene.log.moves == 1
