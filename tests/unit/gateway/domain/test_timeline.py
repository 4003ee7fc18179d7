"""The timeline: a session's log as sentences that a stranger understands, without a word of the conversation."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.api_v1 import Entry, Timeline
from contracts.causes import Cause
from contracts.end_reasons import EndReason
from contracts.events import EVENTS, Considered, Event, Outcome, ServedTick, TimeLost
from contracts.lines import LineName
from gateway.domain.logged import LoggedEvent
from gateway.domain.read_model import fold_records
from gateway.domain.sentences import cause_words, reason_words, turn_words
from gateway.domain.summaries import summary
from gateway.domain.timeline import timeline
from tests.support.events import (
    SESSION,
    assigned,
    at,
    billed,
    end_requested,
    ended,
    erased,
    fault,
    queued,
    ready,
    requested,
    speaking,
    started,
    stopped,
    tick,
    tool,
    turn,
)

BUDGET_MS = 1_200
SECRET = "Xylophone"
SLOW = {"stt": 210, "turn": 90, "llm": 900, "tts": 140, "total": 1_400}
CONSIDERED = (Considered(node_id="n1", verdict="chosen"), Considered(node_id="n2", verdict="refused", why="draining"))
CALL: list[Event] = [
    requested(opening_line=SECRET, system_prompt=SECRET, user_name=SECRET, user_id=SECRET),
    queued(position=3, reason=EndReason.NO_CAPACITY),
    assigned(considered=CONSIDERED),
    ready(),
    started(),
    speaking(),
    turn(heard=SECRET),
    turn(n=1, user=SECRET, heard=SECRET, summary=SECRET, after=8, stage_ms={"llm": 400, "total": 840}),
    tool(),
    tool(outcome="done", after=9.31),
    fault(ms=2_400),
    tick(5_000, fault_ms=2_400),
    stopped(30_000, after=30.0, fault_ms=2_400),
    assigned(2, "n2", after=30.2),
    ready(2, "n2", after=31),
    speaking(2, after=31.2),
    turn(2, after=31.5, interrupted=True),
    turn(2, 1, user=SECRET, heard=SECRET, after=40, stage_ms=SLOW, interrupted=True),
    end_requested(),
    stopped(31_500, 2, Cause.ENDED),
    ended(59_100, 2),
    billed(1, seconds=59),
]


def logged(events: list[Event]) -> list[LoggedEvent]:
    return [LoggedEvent(seq, event) for seq, event in enumerate(events, start=1)]


def told(*events: Event, is_admin: bool = True) -> Timeline:
    made = timeline(logged(list(events)), BUDGET_MS, is_admin=is_admin)
    assert made is not None
    return made


def titles(*events: Event, is_admin: bool = True) -> list[str]:
    return [entry.title for entry in told(*events, is_admin=is_admin).entries]


def entry(kind: str, *events: Event) -> Entry:
    return next(each for each in reversed(told(*events).entries) if each.kind == kind)


def test_a_whole_call_reads_as_a_story() -> None:
    assert titles(*CALL) == [
        "The gateway accepted the start",
        "The start waits in the queue at place 3: every node ran as many calls as it can",
        "The scheduler gave the call to node n1",
        "The agent is in the room, 300 ms after it was assigned",
        "Caller and agent are both in the room: the conversation begins",
        "The caller hears the agent, 1.1 s after the request",
        "The agent said its opening line",
        "Turn 1: the agent answered after 840 ms",
        "The agent calls the tool book_table",
        "The tool book_table answered after 310 ms",
        "The voice did not answer for 2.4 s; this time is not billed",
        "The agent stopped: its process died",
        "Node n2 takes the call over after node n1, because the agent before stopped: its process died",
        "The agent is in the room again, 800 ms after it was assigned",
        "The caller hears the agent again, 1.0 s after it was assigned",
        "The agent said its line of a take-over; it was interrupted",
        "Turn 1: the agent answered after 1.4 s, over the budget of 1.2 s: "
        "first words of the language model took 900 ms; it was interrupted",
        "A client asked for the end of the call",
        "The agent stopped: the scheduler ended the call",
        "The call ended: a client asked for it",
        "Billed 1 begun minute (59 s): 1 credit; 2.4 s of provider faults are not billed",
    ]


def test_no_word_and_no_name_of_a_person_is_in_it() -> None:
    assert SECRET not in told(*CALL).model_dump_json()


def test_without_the_scope_admin_it_names_no_node() -> None:
    shown = told(*CALL, is_admin=False)

    assert {each.node_id for each in shown.entries} == {None}
    assert "n1" not in shown.model_dump_json()
    assert "n2" not in shown.model_dump_json()
    assert "A node takes the call over, because the agent before stopped: its process died" in titles(
        *CALL, is_admin=False
    )


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("requested", "info"),
        ("queued", "warning"),
        ("assigned", "warning"),
        ("turn", "warning"),
        ("agent_stopped", "info"),
    ],
)
def test_the_level_tells_what_deserves_a_look(kind: str, level: str) -> None:
    assert entry(kind, *CALL).level == level


def test_a_drained_node_hands_over_without_alarm() -> None:
    drained = [requested(), assigned(), ready(), started(), stopped(cause=Cause.DRAINED), assigned(2, "n2", after=62)]

    assert entry("assigned", *drained).level == "info"


def test_a_start_that_was_refused_says_why() -> None:
    full = (Considered(node_id="n1", verdict="refused", why="full"),)
    over = ended(0, 0, outcome=Outcome.REJECTED, reason=EndReason.QUEUE_DEADLINE, after=30.1, considered=full)
    made = told(requested(), queued(), over, billed(0, seconds=0, after=30.2))

    assert (made.status, made.outcome, made.reason) == ("rejected", "rejected", "queue_deadline")
    assert [each.title for each in made.entries][2:] == [
        "The scheduler refused the call: it waited as long as a start may wait",
        "Nothing is billed: caller and agent never met in the room",
    ]
    assert made.entries[2].level == "error"
    assert made.entries[2].detail["considered"] == [{"nodeId": "n1", "verdict": "refused", "why": "full"}]
    assert [(stage.name, stage.begin_ms, stage.end_ms) for stage in made.start] == [
        ("accepted", 0, 0),
        ("placed", 0, 100),
        ("queued", 100, 30_100),
    ]


def test_a_call_whose_provider_failed_names_it() -> None:
    failed = ended(outcome=Outcome.FAILED, reason="provider_failed:llm")

    assert titles(requested(), assigned(), stopped(cause="provider_failed:llm"), failed)[2:] == [
        "The agent stopped: the language model became unusable",
        "The call failed: the language model became unusable",
    ]


@pytest.mark.parametrize(
    ("outcome", "error", "title"),
    [
        ("failed", "", "The tool book_table failed after 310 ms"),
        ("failed", "404", "The tool book_table failed after 310 ms: it answered with status 404"),
        (
            "failed",
            "its host is not in TOOL_ALLOWED_HOSTS of this node",
            "The tool book_table failed after 310 ms: its host is not in TOOL_ALLOWED_HOSTS of this node",
        ),
        (
            "failed",
            "ClientConnectorError",
            "The tool book_table failed after 310 ms: it could not be reached (ClientConnectorError)",
        ),
        (
            "unknown",
            "ServerDisconnectedError",
            "The tool book_table failed after 310 ms: the connection broke (ServerDisconnectedError); "
            "it may have taken effect",
        ),
        ("unknown", "", "The tool book_table gave no answer after 310 ms; it may have taken effect"),
        ("unknown", "timeout", "The tool book_table gave no answer after 310 ms; it may have taken effect"),
        (
            "unknown",
            "503",
            "The tool book_table failed after 310 ms: it answered with status 503; it may have taken effect",
        ),
        (
            "unknown",
            "too_long",
            "The tool book_table failed after 310 ms: its answer was too long; it may have taken effect",
        ),
    ],
)
def test_a_tool_that_failed_is_a_warning_with_its_reason(outcome: str, error: str, title: str) -> None:
    failed = tool(outcome=outcome, after=9.31).model_copy(update={"error": error})
    last = told(requested(), tool(), failed).entries[-1]

    assert (last.title, last.level) == (title, "warning")
    facts = {"name": "book_table", "turn": 1, "status": "finished", "outcome": outcome, "ms": 310}
    assert last.detail == facts | ({"error": error} if error else {})


@pytest.mark.parametrize(
    ("event", "title"),
    [
        (fault("stt"), "Speech to text does not answer; this time is not billed"),
        (fault("llm", "unusable"), "The language model is unusable: its retries are exhausted"),
        (
            fault("llm", "unusable", detail="unknown: NoAnswer: BadRequestError"),  # an older agent's
            "The language model is unusable: its retries are exhausted",
        ),
        (
            fault("llm", "unusable", detail="authentication: AuthenticationError 401; model any at host:8000"),
            "The language model is unusable: it refused the key (401)",
        ),
        (
            fault("llm", "unusable", detail="invalid_request: NotFoundError 404; model Qwen/Qwen3-8B at host"),
            "The language model is unusable: it has no model Qwen/Qwen3-8B, or the address is wrong (404)",
        ),
        (
            fault("llm", "unusable", detail="unknown: NoAnswer: BadRequestError 400; model any at host"),
            "The language model is unusable: it refused the request (400)",
        ),
        (
            fault("llm", "unusable", detail="unknown: NoAnswer: APIConnectionError; model any at host"),
            "The language model is unusable: it could not be reached",
        ),
        (
            fault("llm", "unusable", detail="unknown: NoAnswer: InternalServerError 503; model any at host"),
            "The language model is unusable: its server failed (503)",
        ),
        (
            fault("llm", "unanswered", ms=2400, detail="unknown: NoAnswer: RateLimitError 429; model any at host"),
            "The language model did not answer: it failed after 2.4 s because its rate limit is reached (429); "
            "the agent apologised",
        ),
        (
            fault("llm", "unanswered", ms=2400),
            "The language model did not answer: it failed after 2.4 s; the agent apologised",
        ),
        (fault("network", "lost"), "The caller's network is lost; the agent waits"),
        (fault("network", "lost", ms=3_200), "The caller's network was lost for 3.2 s; the agent waited"),
        (
            fault("network", "lost", ms=3_200).model_copy(update={"again_ms": 1_400}),
            "The caller's network was lost for 3.2 s; the agent waited and said the last 1.4 s again",
        ),
        (
            fault("network", "left", ms=18_200),
            "The caller's network was lost for 18.2 s; then the caller was no longer in the room",
        ),
        (
            fault("network", "given_up", ms=25_000),
            "No packet of the caller came for 25.0 s, but the caller is still in the room: the agent goes on",
        ),
        (
            fault("llm", "broke_off", ms=900),
            "The language model broke off its answer after 900 ms; the agent apologised",
        ),
    ],
)
def test_a_providers_fault_is_told(event: Event, title: str) -> None:
    assert titles(requested(), event)[-1] == title


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("answer", "Turn 1: the agent answered after 840 ms"),
        ("nothing", "Turn 1: the caller heard nothing of an answer, which began after 840 ms"),
    ],
)
def test_a_turn_tells_whether_its_answer_was_heard(said: str, title: str) -> None:
    asked = turn(1, 1, stage_ms={"llm": 400, "total": 840}, said=said)
    assert titles(requested(), asked)[-1] == title


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("sorry", "Turn 2: the agent asked to hear it again"),
        ("broke_off", "Turn 2: the agent asked to be asked again, because its answer broke off"),
        ("idle_prompt", "Turn 2: the agent asked whether the caller is still there"),
        ("line", "Turn 2: the agent said a line unasked"),
        ("a_newer_line", "Turn 2: the agent said a line unasked"),
        ("nothing", "Turn 2: the caller heard nothing of an answer"),
        ("", "Turn 2: the agent answered"),
    ],
)
def test_a_line_that_the_agent_says_by_itself_is_no_answer(said: str, title: str) -> None:
    assert titles(requested(), turn(1, 2, said=said))[-1] == title
    assert titles(requested(), turn(1, 2, said=said, interrupted=True))[-1] == f"{title}; it was interrupted"
    last = entry("turn", requested(), turn(1, 2, said=said))
    assert (last.level, last.detail["said"]) == ("warning" if said == "nothing" else "info", said or None)


def test_a_lost_network_deserves_a_look_and_has_its_figures() -> None:
    back = fault("network", "lost", ms=3_200).model_copy(update={"again_ms": 1_400})
    last = entry("fault", requested(), back)

    assert last.level == "warning"
    assert last.detail == {"provider": "network", "kind": "lost", "ms": 3_200, "againMs": 1_400}


def test_a_first_line_that_was_not_heard_is_told() -> None:
    assert titles(requested(), turn(said="nothing", interrupted=True))[-1] == "No word of the opening line was heard"
    lost = turn(2, said="nothing", interrupted=True)
    assert titles(requested(), lost)[-1] == "No word of the line of a take-over was heard"


@pytest.mark.parametrize("name", get_args(LineName))
def test_each_line_has_words(name: LineName) -> None:
    assert turn_words(name) != turn_words("line")


def test_the_bill_names_the_limit_that_it_reached() -> None:
    spent = [
        requested(credit_limit_minutes=2),
        started(),
        ended(120_000, reason="credit_spent"),
        billed(2, seconds=120),
    ]

    assert titles(*spent)[-1] == "Billed 2 begun minutes (120 s): 2 credits; the limit was 2 minutes"


def test_the_waterfall_leads_from_the_request_to_the_first_audio() -> None:
    stage_ms = {"pool_wait": 4, "go": 10, "join": 150, "joined": 160, "heard": 700}
    made = told(requested(), assigned(), ready(), speaking().model_copy(update={"stage_ms": stage_ms}))

    assert [(stage.name, stage.begin_ms, stage.end_ms) for stage in made.start] == [
        ("accepted", 0, 0),
        ("placed", 0, 200),
        ("pool_wait", 200, 204),
        ("go", 204, 210),
        ("join", 210, 350),
        ("joined", 210, 360),
        ("heard", 360, 900),
    ]


def test_attempts_that_brought_no_agent_are_bars_of_the_waterfall() -> None:
    made = told(
        requested(), assigned(), stopped(cause=Cause.JOIN_FAILED, after=1), assigned(2, "n2", after=1.2), ready(2)
    )

    assert [(stage.name, stage.begin_ms, stage.end_ms) for stage in made.start][2:4] == [
        ("attempt", 200, 1_200),
        ("join", 1_200, 1_440),
    ]
    assert entry("assigned", requested(), assigned(), assigned(2, "n2", after=1.2)).title == (
        "Node n2 is the next to start the agent after node n1"
    )


def test_only_an_agent_that_was_in_the_room_can_be_taken_over() -> None:
    attempts = [requested(), assigned(), stopped(cause=Cause.JOIN_FAILED, after=1), assigned(2, "n2", after=1.2)]
    calls = [(attempts, False, 0), ([*attempts, ready(2)], False, 0)]
    calls.append(([*attempts, ready(2), assigned(3, "n3", after=5)], True, 1))
    for events, is_takeover, number in calls:
        state = fold_records(logged(events))
        shown = state and summary(state, at(60), BUDGET_MS, is_admin=True)
        assert shown is not None
        assert shown.takeovers == number
        last = [each for each in told(*events).entries if each.kind == "assigned"][-1]
        assert last.detail["takeover"] is is_takeover


def test_each_answer_is_measured_against_the_budget() -> None:
    fast, slow = told(*CALL).turns

    assert (fast.n, fast.total_ms, fast.over_budget, fast.offset_ms) == (1, 840, None, 8_000)
    assert (slow.epoch, slow.total_ms, slow.over_budget, slow.budget_ms) == (2, 1_400, "llm", BUDGET_MS)
    assert [stage.name for stage in slow.stages] == ["stt", "turn", "llm", "tts"]


def test_the_node_that_held_the_call_has_judged_the_turn() -> None:
    stages = {"endpointing": 250, "stt": 100, "turn": 50, "llm": 400, "sentence": 100, "tts": 250, "transport": 0}
    asked = turn(1, 1, after=9, stage_ms={**stages, "total": 1_100}, budget_ms=1_000, over="tts")
    [judged] = told(requested(), assigned(), ready(), asked).turns

    assert (judged.total_ms, judged.budget_ms, judged.over_budget) == (1_100, 1_000, "tts")
    assert [stage.name for stage in judged.stages] == [name for name in stages if name != "turn"]
    assert sum(stage.ms for stage in judged.stages) == judged.total_ms

    within = turn(1, 1, after=9, stage_ms={"total": BUDGET_MS + 1}, budget_ms=2 * BUDGET_MS)
    assert told(requested(), assigned(), ready(), within).turns[0].over_budget is None


@pytest.mark.parametrize("reason", [*EndReason])
def test_each_reason_has_words(reason: EndReason) -> None:
    assert " " in reason_words(reason)


@pytest.mark.parametrize("cause", [*Cause])
def test_each_cause_has_words(cause: Cause) -> None:
    assert " " in cause_words(cause)


def test_what_a_newer_version_says_stays_as_it_is_written() -> None:
    assert (cause_words("eaten_by_bear"), reason_words("we are closed")) == ("eaten_by_bear", "we are closed")


def test_each_kind_of_event_but_the_tick_has_an_entry() -> None:
    lost = TimeLost(session_id=SESSION, time=at(30), epoch=2, billable_ms=83_400)

    assert {each.kind for each in told(*CALL, lost, erased()).entries} == {
        kind.event for kind in EVENTS if kind is not ServedTick
    }
    assert (entry("time_lost", *CALL, lost).title, entry("time_lost", *CALL, lost).level) == (
        "NATS lost the log of this call: 83.4 s of its earlier agents are not billed",
        "error",
    )


def test_without_its_request_a_session_has_no_timeline() -> None:
    assert timeline(logged([assigned(), ended()]), BUDGET_MS, is_admin=True) is None


def test_a_clock_that_is_behind_gives_no_negative_offset() -> None:
    assert told(requested(), assigned(after=-3)).entries[1].offset_ms == 0


def test_the_first_stage_ends_when_the_log_has_the_request() -> None:
    record = LoggedEvent(1, requested(), stored_ms=round(at(0.012).timestamp() * 1000))
    made = timeline([record], BUDGET_MS, is_admin=True)

    assert made is not None
    assert [(stage.name, stage.end_ms) for stage in made.start] == [("accepted", 12)]


@given(st.lists(st.integers(0, len(CALL) - 1), max_size=40))
def test_a_log_that_repeats_its_events_gives_the_same_entries(again: list[int]) -> None:
    once = told(*CALL)
    repeated: list[Any] = [*CALL, *(CALL[place] for place in again)]

    assert told(*repeated).entries == once.entries


@given(st.permutations(CALL[1:]))
def test_any_order_gives_a_timeline_with_each_step_once(order: list[Event]) -> None:
    made = told(CALL[0], *order)

    assert sorted(each.kind for each in made.entries) == sorted(each.kind for each in told(*CALL).entries)
    assert all(stage.begin_ms <= stage.end_ms for stage in made.start)
