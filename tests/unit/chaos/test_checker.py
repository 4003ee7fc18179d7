"""The checker is not blind: for each of the ten invariants, a recorded log that violates it is found.

`recorded.json` is what the checker read of a real cell: three sessions, one with a take-over, one with a limit.
"""

import ast
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.evidence import Evidence, Message
from tests.chaos.judging import judge

RECORDED = Path(__file__).with_name("recorded.json")
SOUND = Evidence.from_json(RECORDED.read_text())
FOLDER = Path(checker.__file__).parent
ITS_OWN = ("checker", "evidence", "judging", "read_model")
ALLOWED = {"cryptography", "nats", "redis", "sqlalchemy"}


def _sessions(event: str) -> list[Message]:
    return [m for m in SOUND.log if f".{event}." in m.subject]


def _id(message: Message) -> str:
    return message.subject.rpartition(".")[2]


TAKEN_OVER = _id(next(m for m in _sessions("assigned") if (m.body or {})["epoch"] == 2))
LIMITED = _id(next(m for m in _sessions("requested") if (m.body or {})["credit_limit_minutes"]))
PLAIN = next(_id(m) for m in _sessions("requested") if _id(m) not in (TAKEN_OVER, LIMITED))


def _message(session_id: str, event: str, epoch: int | None = None) -> Message:
    return next(
        m
        for m in SOUND.log
        if m.subject.endswith(f".{event}.{session_id}") and epoch in (None, (m.body or {}).get("epoch"))
    )


def _without(session_id: str, event: str) -> Evidence:
    return replace(SOUND, log=[m for m in SOUND.log if not m.subject.endswith(f".{event}.{session_id}")])


def _with(message: Message, **body: Any) -> Evidence:
    """One message of the log changed."""
    changed = replace(message, body=(message.body or {}) | body)
    return replace(SOUND, log=[changed if m.seq == message.seq else m for m in SOUND.log])


def _and(message: Message, *, stored_ms: int | None = None, **body: Any) -> Evidence:
    """One message more at the log's end."""
    more = replace(
        message,
        seq=SOUND.last_seq + 1,
        stored_ms=message.stored_ms if stored_ms is None else stored_ms,
        body=(message.body or {}) | body,
    )
    return replace(SOUND, log=[*SOUND.log, more], last_seq=SOUND.last_seq + 1)


def _rows(table: str, session_id: str, **fields: Any) -> Evidence:
    rows = [row | fields if row["session_id"] == session_id else row for row in getattr(SOUND, table)]
    return replace(SOUND, **{table: rows})


def _without_rows(table: str, session_id: str) -> Evidence:
    return replace(SOUND, **{table: [row for row in getattr(SOUND, table) if row["session_id"] != session_id]})


def _hash(session_id: str, **fields: str) -> Evidence:
    assert SOUND.hashes is not None
    return replace(SOUND, hashes=SOUND.hashes | {session_id: SOUND.hashes.get(session_id, {}) | fields})


def _billed_ms(session_id: str) -> int:
    return next(row["billable_ms"] for row in SOUND.settlements or [] if row["session_id"] == session_id)


def _billed_more(session_id: str, ms: int) -> Evidence:
    assert SOUND.settlements is not None
    had = _billed_ms(session_id) + ms
    amounts = {"billable_ms": had, "seconds": had // 1000, "minutes": -(-(had // 1000) // 60)}
    changed = _rows("settlements", session_id, **amounts)
    assert changed.entries is not None
    entries = [row | amounts if row["session_id"] == session_id else row for row in changed.entries]
    return replace(changed, entries=entries)


def _seen(session_id: str, *, seconds: int, identities: tuple[str, ...] = ("caller", "agent")) -> list[Message]:
    """Webhooks that say that these were in the room for so long."""
    began = _message(session_id, "agent_ready").stored_ms
    found: list[Message] = []
    for who in identities:
        for event, at_ms in (("participant_joined", began), ("participant_left", began + seconds * 1000)):
            body = {
                "event": event,
                "time": datetime.fromtimestamp(at_ms // 1000, UTC).isoformat(),
                "participant_identity": f"{who}:{session_id}",
                "participant_sid": f"PA_{who}",
            }
            found.append(Message(len(found) + 1, f"voice.v1.room.{event}.{session_id}", at_ms, body))
    return found


def test_the_recorded_log_violates_nothing() -> None:
    assert judge(SOUND, max_bots=3, accepted=[PLAIN, LIMITED, TAKEN_OVER], earlier=SOUND) == []


_ENDED = _message(PLAIN, "ended")
VIOLATIONS: dict[str, tuple[int, str, Callable[[], Evidence]]] = {
    "a session never ended": (1, PLAIN, lambda: _without(PLAIN, "ended")),
    "a session ended twice": (1, PLAIN, lambda: _and(_ENDED)),
    "a session was requested twice": (1, PLAIN, lambda: _and(_message(PLAIN, "requested"))),
    "an end without a start": (1, PLAIN, lambda: _without(PLAIN, "requested")),
    "an ended session without a settlement": (1, PLAIN, lambda: _without_rows("settlements", PLAIN)),
    "a settlement without its entry": (1, PLAIN, lambda: _without_rows("entries", PLAIN)),
    "an entry without a settlement": (2, PLAIN, lambda: _without_rows("settlements", PLAIN)),
    "usage that is not the settlement's": (2, PLAIN, lambda: _rows("entries", PLAIN, credits=7)),
    "minutes that do not follow from the time": (2, PLAIN, lambda: _rows("settlements", PLAIN, minutes=9)),
    "more is billed than granted": (3, LIMITED, lambda: _rows("entries", LIMITED, minutes=2)),
    "entries below nothing": (3, PLAIN, lambda: _rows("entries", PLAIN, seconds=-5)),
    "more was served than LiveKit saw": (4, PLAIN, lambda: replace(SOUND, webhooks=_seen(PLAIN, seconds=0))),
    "less was served than LiveKit saw": (4, PLAIN, lambda: replace(SOUND, webhooks=_seen(PLAIN, seconds=60))),
    "an epoch is missing": (5, TAKEN_OVER, lambda: _with(_message(TAKEN_OVER, "assigned", 2), epoch=3)),
    "two epochs in the wrong order": (5, PLAIN, lambda: _and(_message(PLAIN, "assigned"))),
    "an agent of an epoch that nobody assigned": (5, PLAIN, lambda: _and(_message(PLAIN, "agent_ready"), epoch=2)),
    "two agents greet": (5, PLAIN, lambda: _two_greetings()),
    "an epoch bills time of its successor": (5, TAKEN_OVER, lambda: _a_greedy_epoch()),
    "a part of the log is lost": (6, "", lambda: replace(SOUND, first_seq=3)),
    "a sequence is missing": (6, "", lambda: replace(SOUND, log=SOUND.log[:4] + SOUND.log[5:])),
    "two slots for one session": (6, PLAIN, lambda: replace(SOUND, slots={n: {"session_id": PLAIN} for n in "01"})),
    "a session in the dead letters": (
        6,
        PLAIN,
        lambda: replace(SOUND, dead=[Message(1, f"dead.voice.v1.session.ended.{PLAIN}", 0, {})]),
    ),
    "a slot is left": (7, PLAIN, lambda: replace(SOUND, slots={"0": {"session_id": PLAIN}})),
    "the slot of a session that nobody requested": (
        7,
        "session_x",
        lambda: replace(SOUND, slots={"0": {"session_id": "session_x"}}),
    ),
    "a job is left": (
        7,
        PLAIN,
        lambda: replace(SOUND, nodes={"n1": {"jobs": [{"session_id": PLAIN, "epoch": 1, "pid": 7}]}}),
    ),
    "a room is left": (7, PLAIN, lambda: replace(SOUND, rooms=[PLAIN])),
    "a bill is not that of the log": (8, PLAIN, lambda: _billed_more(PLAIN, 20_000)),
    "a late event is not in the ledger": (
        8,
        PLAIN,
        lambda: _and(_message(PLAIN, "agent_stopped"), stored_ms=_ENDED.stored_ms + 9_000, served_ms=9_000),
    ),
    "a bill changes where no webhook came": (9, PLAIN, lambda: replace(_billed_more(PLAIN, 20_000), webhooks=[])),
    "Redis shows another status": (10, PLAIN, lambda: _hash(PLAIN, status="active")),
    "Redis shows another duration": (10, PLAIN, lambda: _hash(PLAIN, conversationDuration="99")),
    "Redis shows a session of nobody": (10, "session_x", lambda: _hash("session_x", status="active")),
    "Redis has lost a session": (
        10,
        PLAIN,
        lambda: replace(SOUND, hashes={i: h for i, h in (SOUND.hashes or {}).items() if i != PLAIN}),
    ),
    "an ended session counts as ready": (
        10,
        PLAIN,
        lambda: replace(SOUND, members={"session:ready": [PLAIN], "session:starting": []}),
    ),
    "a pid is left": (10, PLAIN, lambda: replace(SOUND, pids=[PLAIN])),
}


def _restored(billed_ms: int) -> Evidence:
    """A log that was lost and begun again: what the node repeated of ten minutes stands before `assigned`."""
    assigned, ready = _message(PLAIN, "assigned"), _message(PLAIN, "agent_ready")
    stopped = _message(PLAIN, "agent_stopped")
    changed = _billed_more(PLAIN, billed_ms - _billed_ms(PLAIN))
    bodies = {stopped.seq: (stopped.body or {}) | {"served_ms": 600_000}}
    places = {assigned.seq: ready.seq, ready.seq: assigned.seq}
    log = [replace(m, seq=places.get(m.seq, m.seq), body=bodies.get(m.seq, m.body)) for m in SOUND.log]
    return replace(changed, log=sorted(log, key=lambda m: m.seq))


def _two_greetings() -> Evidence:
    opening = (_message(PLAIN, "requested").body or {})["opening_line"]
    turns = [
        Message(
            SOUND.last_seq + epoch,
            f"voice.v1.session.turn.{PLAIN}",
            _ENDED.stored_ms,
            {"epoch": epoch, "n": 0, "heard_text": opening},
        )
        for epoch in (1, 2)
    ]
    return replace(SOUND, log=[*SOUND.log, *turns], last_seq=SOUND.last_seq + 2)


def _a_greedy_epoch() -> Evidence:
    """The successor came at once, and the first epoch's share is what it says it served."""
    assigned = _message(TAKEN_OVER, "assigned", 1)
    ready = _message(TAKEN_OVER, "agent_ready", 2)
    early = replace(ready, stored_ms=assigned.stored_ms + 10)
    return replace(SOUND, log=[early if m.seq == ready.seq else m for m in SOUND.log])


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_log_that_violates_an_invariant_is_found(name: str) -> None:
    invariant, session_id, evidence = VIOLATIONS[name]

    found = judge(evidence())

    assert (invariant, session_id) in {(v.invariant, v.session_id) for v in found}, checker.report(found)


@pytest.mark.parametrize(("billed_ms", "is_found"), [(600_000, False), (9_000, True)])
def test_a_bill_that_a_restored_log_cut_is_found(billed_ms: int, is_found: bool) -> None:
    found = {v.session_id for v in judge(_restored(billed_ms)) if v.invariant == 8}

    assert found == ({PLAIN} if is_found else set())


def test_an_epoch_that_was_assigned_again_has_the_span_of_its_whole_age() -> None:
    greedy, assigned = _a_greedy_epoch(), _message(TAKEN_OVER, "assigned", 1)
    aged = replace(assigned, body=(assigned.body or {}) | {"age_ms": 10_000})
    restored = replace(greedy, log=[aged if m.seq == assigned.seq else m for m in greedy.log])

    assert 5 in {v.invariant for v in judge(greedy)}
    assert 5 not in {v.invariant for v in judge(restored)}


def test_each_of_the_ten_invariants_has_a_log_that_violates_it() -> None:
    assert {invariant for invariant, _, _ in VIOLATIONS.values()} == set(range(1, 11))


def test_more_sessions_than_max_bots_are_found() -> None:
    assert {v.invariant for v in judge(SOUND, max_bots=2)} == {6}


def test_a_start_that_was_answered_and_is_not_in_the_log_is_found() -> None:
    assert [(v.invariant, v.session_id) for v in judge(SOUND, accepted=["session_lost"])] == [(6, "session_lost")]


def test_a_row_that_changed_since_the_last_check_is_found() -> None:
    earlier = _rows("settlements", PLAIN, reason="another")

    assert [(v.invariant, v.session_id) for v in judge(SOUND, earlier=earlier)] == [(8, PLAIN)]


def test_where_livekit_told_only_of_the_caller_the_overlap_is_not_judged() -> None:
    assert judge(replace(SOUND, webhooks=_seen(PLAIN, seconds=60, identities=("caller",)))) == []


def test_the_goodbye_at_the_time_limit_is_not_billed() -> None:
    seen = _seen(PLAIN, seconds=_billed_ms(PLAIN) // 1000 + 5)

    assert 4 in {v.invariant for v in judge(replace(SOUND, webhooks=seen))}
    timed_out = _with(_ENDED, reason="session_timeout")
    assert 4 not in {v.invariant for v in judge(replace(timed_out, webhooks=seen))}


def test_what_may_still_come_is_no_violation() -> None:
    """A running session, and within the grace the slot and the settlement of one that ended a moment ago."""
    assert judge(_without(PLAIN, "ended"), running=True, grace_ms=10**9) != []  # its sequence is missing
    still = replace(SOUND, slots={"0": {"session_id": PLAIN}}, settlements=[], entries=[], hashes={})
    assert judge(still, grace_ms=10**12) == []


def test_the_command_prints_the_session_and_its_log_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checker.main(["--recorded", str(RECORDED), "--grace", "0", "--max-bots", "3"]) == 0
    assert "all ten invariants hold" in capsys.readouterr().out

    violated = tmp_path / "violated.json"
    violated.write_text(_without(PLAIN, "ended").to_json())
    assert checker.main(["--recorded", str(violated), "--grace", "0"]) == 1

    out = capsys.readouterr().out
    assert f"invariant 1: {PLAIN}: it was accepted and never ended" in out
    assert "agent_ready" in out


def test_the_command_says_in_one_line_that_a_store_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main(["--nats", "nats://127.0.0.1:9"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ITS_OWN)
def test_the_checker_shares_no_code_with_the_services(name: str) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")

    ours = {f"tests.chaos.{each}" for each in ITS_OWN} | {"tests.chaos"}
    others = {module for module in imported if module not in ours}
    assert {module.partition(".")[0] for module in others} <= ALLOWED | sys.stdlib_module_names
