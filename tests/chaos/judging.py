"""The ten invariants, judged from evidence alone: pure, and no rule is shared with the services' code.

Bills are judged by bounds: where an epoch reports no more than the log's clock allows, both bounds are the same figure.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.chaos.evidence import Evidence, Message
from tests.chaos.read_model import expected_fields, status_of

LONGEST_MS = 7 * 86_400_000
CLEAN_MS = 1_000
NODE_LOSS_MS = 5_000
GOODBYE_MS = 6_000  # the agent's last sentence after `session_timeout` is not billed
WEBHOOK_MS = 2_000  # LiveKit dates webhooks in whole seconds, and an overlap has two ends
SHOWN = 14


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold.

    Attributes:
        invariant: Its number in the README of this folder, 1 to 10.
        session_id: Whose; empty for what belongs to no session.
        evidence: The lines of the log, or the rows, that show it.
    """

    invariant: int
    session_id: str
    what: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = "".join(f"\n      {line}" for line in self.evidence)
        return f"invariant {self.invariant}: {self.session_id or 'the whole cell'}: {self.what}{lines}"


@dataclass
class Session:
    """The messages of one session, by the name of the event, in stream order."""

    id: str
    messages: list[Message] = field(default_factory=list[Message])

    def all(self, event: str, before: int | None = None) -> list[Message]:
        found = [m for m in self.messages if m.body is not None and _event(m) == event]
        return found if before is None else [m for m in found if m.seq < before]

    def first(self, event: str) -> Message | None:
        return next(iter(self.all(event)), None)

    @property
    def is_accepted(self) -> bool:
        return self.first("requested") is not None

    def lines(self) -> tuple[str, ...]:
        """Its log as evidence, the middle left out where it is long."""
        begun = self.messages[0].stored_ms if self.messages else 0
        lines = [f"+{(m.stored_ms - begun) / 1000:8.3f} {m.seq:5d} {_event(m):13s} {_brief(m)}" for m in self.messages]
        half = SHOWN // 2
        return (
            tuple(lines) if len(lines) <= SHOWN else (*lines[:half], f"... {len(lines) - SHOWN} more", *lines[-half:])
        )


def judge(
    evidence: Evidence,
    *,
    max_bots: int | None = None,
    accepted: Iterable[str] = (),
    earlier: Evidence | None = None,
    grace_ms: int = 0,
    running: bool = False,
) -> list[Violation]:
    """Find every invariant that does not hold.

    Args:
        max_bots: MAX_BOTS of the cell.
        accepted: Sessions whose start was answered with 200.
        earlier: What was read before: the ledger's rows of then must be there unchanged.
        grace_ms: What belongs to a session that ended less than this ago is not taken for left behind or late.
        running: Sessions may still run; else each must have ended.
    """
    sessions = _sessions(evidence.log)
    due = [s for s in sessions.values() if _is_due(s, evidence.taken_ms - grace_ms)]
    found: list[Violation] = []
    for session in sessions.values():
        found += _one_end(session, running=running)
        found += _one_agent(session)
    for session in due:
        found += _one_settlement(session, evidence)
        found += _fair(session, evidence)
    found += _ledger(evidence, earlier)
    found += _bound(sessions, evidence, max_bots)
    found += [
        Violation(6, i, "a start was accepted, and the log does not know it") for i in set(accepted) - {*sessions}
    ]
    found += _nothing_left(sessions, evidence, {s.id for s in due}, running=running)
    found += _as_the_log(sessions, evidence, grace_ms)
    return sorted(found, key=lambda v: (v.invariant, v.session_id))


def _sessions(log: list[Message]) -> dict[str, Session]:
    found: dict[str, Session] = {}
    for message in log:
        session_id = message.subject.rpartition(".")[2]
        found.setdefault(session_id, Session(session_id)).messages.append(message)
    return found


def _is_due(session: Session, until_ms: int) -> bool:
    ended = session.first("ended")
    return ended is not None and ended.stored_ms <= until_ms


# --- 1: one end, one settlement


def _one_end(session: Session, *, running: bool) -> Iterator[Violation]:
    counts = {event: len(session.all(event)) for event in ("requested", "ended", "billed")}
    for event, count in counts.items():
        if count > 1:
            yield Violation(1, session.id, f"{count} x {event}", session.lines())
    if counts["requested"] and not counts["ended"] and not running:
        yield Violation(1, session.id, "it was accepted and never ended", session.lines())
    if counts["ended"] and not counts["requested"]:
        yield Violation(1, session.id, "it ended and was never requested", session.lines())


def _one_settlement(session: Session, evidence: Evidence) -> Iterator[Violation]:
    if evidence.settlements is None or evidence.entries is None:
        return
    rows = [row for row in evidence.settlements if row["session_id"] == session.id]
    usage = [row for row in evidence.entries if row["session_id"] == session.id and row["kind"] == "usage"]
    if (len(rows), len(usage)) != (1, 1):
        what = f"{len(rows)} settlements and {len(usage)} usage entries"
        yield Violation(1, session.id, what, session.lines())


# --- 2, 3, 8: the ledger


def _ledger(evidence: Evidence, earlier: Evidence | None) -> Iterator[Violation]:
    settled = {row["session_id"]: row for row in evidence.settlements or []}
    entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in evidence.entries or []:
        entries[row["session_id"]].append(row)
        if row["session_id"] not in settled:
            yield Violation(2, row["session_id"], "an entry without a settlement", (str(row),))
    for session_id, row in settled.items():
        usage = [entry for entry in entries[session_id] if entry["kind"] == "usage"]
        for amount in ("billable_ms", "seconds", "minutes", "credits"):
            if usage and usage[0][amount] != row[amount]:
                yield Violation(2, session_id, f"{amount} of settlement and usage differ", (str(row), str(usage[0])))
            if sum(entry[amount] for entry in entries[session_id]) < 0:
                yield Violation(3, session_id, f"{amount} add up to less than 0", tuple(map(str, entries[session_id])))
        granted = row.get("granted_minutes")
        billed = sum(entry["minutes"] for entry in entries[session_id])
        if granted is not None and billed > granted:
            yield Violation(3, session_id, f"{billed} minutes are billed and {granted} were granted", (str(row),))
        if row["seconds"] != row["billable_ms"] // 1000 or row["minutes"] != -(-row["seconds"] // 60):
            yield Violation(2, session_id, "seconds or minutes do not follow from billable_ms", (str(row),))
    for table, key in (("settlements", "session_id"), ("entries", "entry_id")):
        now = {row[key]: row for row in getattr(evidence, table) or []}
        for row in (getattr(earlier, table) or []) if earlier else []:
            if now.get(row[key]) != row:
                yield Violation(8, row["session_id"], f"a row of {table} changed", (str(row), str(now.get(row[key]))))


# --- 4, 5, 8, 9: the bill is the log's


def _fair(session: Session, evidence: Evidence) -> Iterator[Violation]:
    if evidence.settlements is None or evidence.entries is None:
        return
    ended = session.all("ended")[0]
    rows = [row for row in evidence.settlements if row["session_id"] == session.id]
    entries = [row for row in evidence.entries if row["session_id"] == session.id]
    if not rows or not session.is_accepted:
        return
    heard = any(m.subject.endswith(f".{session.id}") for m in evidence.webhooks)
    for what, billed_ms, before in (
        ("the settlement", rows[0]["billable_ms"], ended.seq),
        ("the ledger", sum(row["billable_ms"] for row in entries), None),
    ):
        least, most = billable_bounds(session, before)
        if not least <= billed_ms <= most:
            text = f"{what} bills {billed_ms} ms; its log allows {least} to {most}"
            yield Violation(8, session.id, text, session.lines())
            if not heard:
                yield Violation(9, session.id, f"{text}, and no webhook of it came", session.lines())
    for share in json.loads(rows[0]["epochs"]):
        span = _span_ms(session, share["epoch"], ended.seq)
        if span is not None and share["billable_ms"] > span:
            text = f"epoch {share['epoch']} bills {share['billable_ms']} ms; its successor came after {span}"
            yield Violation(5, session.id, text, session.lines())
    yield from _overlap(session, evidence)


def billable_bounds(session: Session, before: int | None) -> tuple[int, int]:
    """The least and the most that may be billed of a session: of its whole log, or of that before a sequence."""
    if not session.all("started", before):
        return 0, 0
    least = most = 0
    for epoch, (served, fault) in _served(session, before).items():
        span = _span_ms(session, epoch, before)
        capped = served if span is None else min(served, span)
        most += max(0, min(capped, served - fault))
        last = _last_span_ms(session, epoch) if span is None else span
        least += max(0, min(served, last) - fault)
    assigned = [m.body or {} for m in session.all("assigned", before)]
    granted = [g for body in assigned if (g := body.get("granted_minutes")) is not None]
    asked = [g for m in session.all("requested") if (g := (m.body or {}).get("credit_limit_minutes")) is not None]
    limit = max(granted, default=max(asked, default=None) if assigned else None)
    return (least, most) if limit is None else (min(least, limit * 60_000), min(most, limit * 60_000))


def _served(session: Session, before: int | None) -> dict[int, tuple[int, int]]:
    """Epoch -> the greatest served time and the greatest fault time that it reported."""
    found: dict[int, tuple[int, int]] = {}
    for message in (*session.all("tick", before), *session.all("agent_stopped", before)):
        body = message.body or {}
        if body["served_ms"] <= LONGEST_MS:
            served, fault = found.get(body["epoch"], (0, 0))
            found[body["epoch"]] = max(served, body["served_ms"]), max(fault, body.get("fault_ms", 0))
    return found


def _span_ms(session: Session, epoch: int, before: int | None) -> int | None:
    """From an epoch's beginning to the first `agent_ready` of a later one, on the log's clock."""
    assigned = [(m.stored_ms, m.body) for m in session.all("assigned", before) if m.body and m.body["epoch"] == epoch]
    begun = [stored_ms - body.get("age_ms", 0) for stored_ms, body in assigned]  # older where a lost log got it again
    later = [m.stored_ms for m in session.all("agent_ready", before) if (m.body or {})["epoch"] > epoch]
    return max(0, min(later) - min(begun)) if begun and later else None


def _last_span_ms(session: Session, epoch: int) -> int:
    """The same for the last epoch, which has only the end after it; no clock knows one that was ready before it."""
    first = next(m for m in session.messages if (m.body or {}).get("epoch") == epoch)
    ended = session.first("ended") if _event(first) == "assigned" else None
    return LONGEST_MS if ended is None else max(0, ended.stored_ms - first.stored_ms)


def _unserved_ms(session: Session) -> Iterator[int]:
    """Time in the room that is not served: the goodbye, and before each take-over the time since the dead agent's last
    report, because LiveKit shows a killed agent until it notices or the successor joins."""
    if any((m.body or {})["reason"] == "session_timeout" for m in session.all("ended")):
        yield GOODBYE_MS
    ready_ms = {(m.body or {})["epoch"]: m.stored_ms for m in session.all("agent_ready")}
    for epoch in sorted(ready_ms)[1:]:
        reports = [
            m.stored_ms
            for event in ("agent_ready", "tick", "agent_stopped")
            for m in session.all(event)
            if (m.body or {})["epoch"] < epoch and m.stored_ms <= ready_ms[epoch]
        ]
        yield max(NODE_LOSS_MS, ready_ms[epoch] - max(reports, default=ready_ms[epoch]))


def _overlap(session: Session, evidence: Evidence) -> Iterator[Violation]:
    """Compare what was served with what LiveKit saw, where it told of every arrival and departure."""
    presence = {who: _presence(evidence.webhooks, f"{who}:{session.id}") for who in ("caller", "agent")}
    if not all(presence.values()):
        return
    overlap_ms = sum(
        max(0, min(a_end, b_end) - max(a, b)) for a, a_end in presence["caller"] for b, b_end in presence["agent"]
    )
    served_ms = sum(served for served, _ in _served(session, None).values()) if session.first("started") else 0
    slack_ms = CLEAN_MS + WEBHOOK_MS
    if not overlap_ms - slack_ms - sum(_unserved_ms(session)) <= served_ms <= overlap_ms + slack_ms:
        what = f"{served_ms} ms were served; LiveKit saw caller and agent together for {overlap_ms}"
        yield Violation(4, session.id, what, session.lines())


def _presence(webhooks: list[Message], identity: str) -> list[tuple[int, int]]:
    """The intervals of one participant, Unix ms; empty where a webhook is missing or came twice."""
    times: dict[str, dict[str, int]] = defaultdict(dict)
    for message in webhooks:
        body = message.body or {}
        if body.get("participant_identity") == identity and body["event"].startswith("participant_"):
            at_ms = int(datetime.fromisoformat(body["time"]).timestamp() * 1000)
            times[body.get("participant_sid") or ""][body["event"]] = at_ms
    intervals = [(t.get("participant_joined"), t.get("participant_left")) for t in times.values()]
    return [(a, b) for a, b in intervals if a is not None and b is not None] if all(map(all, intervals)) else []


# --- 5: one agent


def _one_agent(session: Session) -> Iterator[Violation]:
    assigned = [(m.body or {})["epoch"] for m in session.all("assigned")]
    if assigned != list(range(1, len(assigned) + 1)):
        yield Violation(5, session.id, f"the epochs {assigned} were assigned", session.lines())
    ready = [(m.body or {})["epoch"] for m in session.all("agent_ready")]
    if [e for e in ready if e not in assigned]:
        yield Violation(5, session.id, f"agents of the epochs {ready} came, {assigned} were assigned", session.lines())
    requested = session.first("requested")
    opening = (requested.body or {}).get("opening_line") if requested else None
    spoken = [m.body or {} for m in session.all("turn")]
    greeted = {body["epoch"] for body in spoken if opening and body.get("heard_text") == opening}
    if len(greeted) > 1:
        yield Violation(5, session.id, f"the opening line was said in the epochs {sorted(greeted)}", session.lines())


# --- 6: the bound, and nothing lost


def _bound(sessions: dict[str, Session], evidence: Evidence, max_bots: int | None) -> Iterator[Violation]:
    if evidence.first_seq > 1:
        yield Violation(6, "", f"the log begins at sequence {evidence.first_seq}: what came before it is lost")
    missing = {*range(max(1, evidence.first_seq), evidence.last_seq + 1)} - {m.seq for m in evidence.log}
    if missing:
        yield Violation(6, "", f"{len(missing)} sequences are missing in the log, the first is {min(missing)}")
    for session_id, count in Counter(slot.get("session_id") for slot in evidence.slots.values()).items():
        if count > 1:
            yield Violation(6, str(session_id), f"it owns {count} slots")
    for message in evidence.dead:
        if ".session." in message.subject:
            yield Violation(6, message.subject.rpartition(".")[2], f"a dead letter: {message.subject}")
    if max_bots is None:
        return
    held: set[str] = set()
    for message in evidence.log:
        session_id, event = message.subject.rpartition(".")[2], _event(message)
        if event == "ended":
            held.discard(session_id)
        elif event == "assigned" and not sessions[session_id].all("ended", message.seq):
            held.add(session_id)
            if len(held) > max_bots:
                what = f"{len(held)} sessions ran at once, MAX_BOTS is {max_bots}"
                yield Violation(6, session_id, what, sessions[session_id].lines())


# --- 7: nothing left


def _nothing_left(
    sessions: dict[str, Session], evidence: Evidence, due: set[str], *, running: bool
) -> Iterator[Violation]:
    waiting = {*evidence.prejoined, *(room for node in evidence.nodes.values() for room in node.get("rooms", []))}
    unknown_ok = waiting if not running else waiting | {s.id for s in sessions.values() if s.id not in due}

    def is_left(session_id: str) -> bool:
        return session_id in due or (session_id not in sessions and session_id not in unknown_ok)

    for key, slot in evidence.slots.items():
        if is_left(slot.get("session_id", "")):
            yield Violation(7, slot.get("session_id", ""), f"its slot {key} is left", (str(slot),))
    for name, node in evidence.nodes.items():
        for job in node.get("jobs", []):
            if is_left(job["session_id"]):
                yield Violation(7, job["session_id"], f"{name} still holds its job, epoch {job['epoch']}")
    for room in evidence.rooms or []:
        if room.startswith("session_") and is_left(room):
            yield Violation(7, room, "its room is left")


# --- 10: Redis is made from the log


def _as_the_log(sessions: dict[str, Session], evidence: Evidence, grace_ms: int) -> Iterator[Violation]:
    if evidence.hashes is None or evidence.members is None or evidence.pids is None:
        return
    settled_ms = evidence.taken_ms - grace_ms
    for session in sessions.values():
        if not session.is_accepted or session.messages[-1].stored_ms > settled_ms:
            continue
        hash_, wanted = evidence.hashes.get(session.id, {}), expected_fields(session)
        wrong = {name: (hash_.get(name), value) for name, value in wanted.items() if hash_.get(name) != value}
        if wrong:
            shown = tuple(f"{name} is {is_!r}, the log makes it {value!r}" for name, (is_, value) in wrong.items())
            yield Violation(10, session.id, "Redis differs from the log", (*shown, *session.lines()))
        status = status_of(session)
        for name, statuses in (
            ("session:ready", ("ready", "active")),
            ("session:starting", ("requested", "queued", "starting")),
        ):
            if (session.id in evidence.members[name]) != (status in statuses):
                yield Violation(10, session.id, f"it is {status}, and its place in {name} does not fit")
        if session.id in evidence.pids and status in ("ended", "rejected"):
            yield Violation(10, session.id, "agent:{id}:pid is left")
    for session_id in evidence.hashes:
        if session_id not in sessions and evidence.first_seq <= 1:
            yield Violation(10, session_id, "Redis shows a session that the log does not know")


def _event(message: Message) -> str:
    parts = message.subject.split(".")
    return parts[3] if len(parts) == 5 else message.subject


def _brief(message: Message) -> str:
    hidden = ("session_id", "time", "id", "system_prompt", "metadata", "opening_line", "tools", "log_file", "stage_ms")
    return str({name: value for name, value in (message.body or {}).items() if name not in hidden})
