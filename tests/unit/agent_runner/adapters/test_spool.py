"""A node's events on disk: in order, bounded, readable by the next supervisor."""

from datetime import UTC, datetime
from pathlib import Path

from agent_runner.adapters.spool import Spool
from contracts.events import AgentStopped, Event, ServedTick, SessionStarted, TurnFinished

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SID = "session_1_a"
STARTED = SessionStarted(session_id=SID, time=NOW, epoch=1, at=NOW)
TURN = TurnFinished(session_id=SID, time=NOW, epoch=1, n=1, user_text="Hé", heard_text="Hello", stage_ms={"llm": 9})
STOPPED = AgentStopped(session_id=SID, time=NOW, epoch=1, cause="ended", served_ms=9)


def tick(n: int) -> ServedTick:
    return ServedTick(session_id=SID, time=NOW, epoch=1, served_ms=n)


def read(folder: Path) -> list[Event]:
    return [kept.event for file in Spool(folder, 1).left_behind() for kept in file.read()]


def test_the_next_supervisor_reads_what_was_kept_with_what_it_expects(tmp_path: Path) -> None:
    file = Spool(tmp_path, 10_000).open(SID, 1)
    assert list(tmp_path.iterdir()) == []
    for event, expect_last in ((STARTED, 0), (TURN, None), (tick(1), None), (STOPPED, None)):
        file.add(event, expect_last)

    (left,) = Spool(tmp_path, 10_000).left_behind()

    assert [(kept.event, kept.expect_last) for kept in left.read()] == [
        (STARTED, 0),
        (TURN, None),
        (tick(1), None),
        (STOPPED, None),
    ]
    left.delete()
    assert list(tmp_path.iterdir()) == []


def test_ticks_and_turns_keep_the_bound_of_the_node_and_last_words_always_fit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_500)
    first, second = spool.open(SID, 1), spool.open(SID, 2)
    for n in range(100):
        (first, second)[n % 2].add(tick(n), None)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert 1_000 < size <= 1_500
    first.add(STOPPED, None)
    assert STOPPED in read(tmp_path)
    first.delete()
    second.add(tick(1_000), None)
    assert tick(1_000) in read(tmp_path)


def test_what_is_there_at_the_start_counts(tmp_path: Path) -> None:
    Spool(tmp_path, 10_000).open(SID, 1).add(TURN, None)
    later = Spool(tmp_path, 10)
    later.open(SID, 2).add(tick(1), None)
    assert read(tmp_path) == [TURN]


def test_a_torn_or_foreign_line_costs_only_itself(tmp_path: Path) -> None:
    file = Spool(tmp_path, 10_000).open(SID, 1)
    file.add(TURN, None)
    (path,) = tmp_path.iterdir()
    with path.open("ab") as torn:
        torn.write(b'[1]\n{"subject":"x","expect_last":null,"event":{}}\n{"subj')
    assert read(tmp_path) == [TURN]


def test_a_disk_that_refuses_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    Spool(tmp_path / "blocked", 10_000).open(SID, 1).add(TURN, None)
