"""What the leader does next: each rule of a session's life, on the log's clock."""

from dataclasses import replace

import pytest

from contracts.events import Event, Outcome
from scheduler.domain.decision import (
    Ask,
    CountFailure,
    Decision,
    DeleteRoom,
    End,
    Place,
    ReleaseSlot,
    Remove,
    StopAgent,
    StopSuperseded,
    decide,
)
from scheduler.domain.facts import EndAnswer, EndCommand, Facts, JobUnlisted, Verdict
from scheduler.domain.limits import Limits
from tests.support.events import T0, assigned, end_requested, ended, ready, requested, started, stopped
from tests.support.scheduler.builders import session

LIMITS = Limits()
FACTS = Facts(since_ms=T0 - 60_000, slot=0)
Entry = tuple[int, Event]

REQUESTED = (0, requested())
RUNNING: tuple[Entry, ...] = (REQUESTED, (10, assigned()), (500, ready()), (900, started()))


def told(epoch: int, node: str, outcome: Outcome, reason: str) -> StopAgent:
    return StopAgent(epoch, node, Verdict(outcome, reason))


def over(outcome: Outcome, reason: str) -> End:
    return End(Verdict(outcome, reason))


def decided(*events: Entry, after: int, facts: Facts = FACTS, limits: Limits = LIMITS) -> Decision:
    return decide(session(*events), facts, T0 + after, limits)


def test_a_request_wants_a_place_until_the_queues_deadline() -> None:
    assert decided(REQUESTED, after=5) == Decision((Place(),), T0 + 30_000)


@pytest.mark.parametrize(
    ("blocked", "reason"), [("max_bots", "max_bots"), ("no_nodes", "no_nodes"), (None, "queue_deadline")]
)
def test_whoever_waited_too_long_is_rejected_with_the_reason(blocked: str | None, reason: str) -> None:
    facts = replace(FACTS, slot=None, blocked=blocked)
    assert decided(REQUESTED, after=30_000, facts=facts).actions == (over(Outcome.REJECTED, reason),)


def test_a_full_queue_rejects_at_once() -> None:
    facts = replace(FACTS, slot=None, refusal="queue_full")
    assert decided(REQUESTED, after=1, facts=facts).actions == (over(Outcome.REJECTED, "queue_full"),)


def test_an_assigned_job_is_asked_for_once() -> None:
    events = (REQUESTED, (10, assigned()))
    assert decided(*events, after=11) == Decision((Ask(1, "n1", takeover=False),), T0 + 5_010)
    assert decided(*events, after=11, facts=replace(FACTS, asked_epoch=1)) == Decision((), T0 + 5_010)


def test_a_refusal_means_the_next_node() -> None:
    facts = replace(FACTS, asked_epoch=1, refused_epoch=1)
    assert decided(REQUESTED, (10, assigned()), after=20, facts=facts).actions == (
        StopSuperseded(1, "n1"),
        Place(),
    )


def test_no_agent_in_five_seconds_means_the_next_node_and_the_old_one_lets_go() -> None:
    facts = replace(FACTS, asked_epoch=1)
    events = (REQUESTED, (10, assigned()))
    assert decided(*events, after=5_009, facts=facts).actions == ()
    assert decided(*events, after=5_010, facts=facts).actions == (
        CountFailure(1, "n1", "not_ready"),
        StopSuperseded(1, "n1"),
        Place(),
    )
    told = replace(facts, stop_sent_epoch=1, counted_epoch=1)
    assert decided(*events, after=5_011, facts=told).actions == (Place(),)


def test_a_start_that_no_node_brings_about_fails_in_time() -> None:
    events = (REQUESTED, (10, assigned()), (20_000, assigned(2, "n2")))
    facts = replace(FACTS, asked_epoch=2, counted_epoch=2)
    ending = decided(*events, after=30_010, facts=facts)
    assert ending.actions == (told(2, "n2", Outcome.FAILED, "start_timeout"),)
    silent = replace(facts, end_command=EndCommand(2), end_answer=EndAnswer(2, None))
    assert decided(*events, after=30_011, facts=silent).actions == (over(Outcome.FAILED, "start_timeout"),)


def test_a_new_leader_waits_for_reports_that_an_outage_held_back() -> None:
    events = (REQUESTED, (10, assigned()))
    new = replace(FACTS, since_ms=T0 + 70_000, asked_epoch=1, counted_epoch=1)
    assert decided(*events, after=74_999, facts=new).actions == ()
    assert decided(*events, after=75_000, facts=new).actions == (told(1, "n1", Outcome.FAILED, "start_timeout"),)


def test_the_caller_has_a_minute_to_come() -> None:
    events = (REQUESTED, (10, assigned()), (500, ready()))
    assert decided(*events, after=60_499) == Decision((), T0 + 60_500)
    assert decided(*events, after=60_500).actions == (told(1, "n1", Outcome.NO_SHOW, "caller_never_joined"),)
    answered = replace(FACTS, end_command=EndCommand(1), end_answer=EndAnswer(1, 0))
    assert decided(*events, after=60_501, facts=answered).actions == (over(Outcome.NO_SHOW, "caller_never_joined"),)
    assert decided(*events, after=60_500, facts=replace(FACTS, caller_here=True)).actions == ()


def test_a_caller_who_left_may_come_back_for_half_a_minute() -> None:
    gone = replace(FACTS, caller_here=False, caller_left_ms=T0 + 5_000)
    assert decided(*RUNNING, after=34_999, facts=gone) == Decision((), T0 + 35_000)
    assert decided(*RUNNING, after=35_000, facts=gone).actions == (told(1, "n1", Outcome.COMPLETED, "caller_left"),)
    back = replace(gone, caller_here=True, caller_left_ms=None)
    assert decided(*RUNNING, after=35_000, facts=back).actions == ()


def test_a_caller_who_came_and_left_before_the_conversation_is_no_no_show() -> None:
    gone = replace(FACTS, caller_here=False, caller_left_ms=T0 + 59_000)
    events = (REQUESTED, (10, assigned()), (500, ready()))
    assert decided(*events, after=60_500, facts=gone) == Decision((), T0 + 89_000)
    assert decided(*events, after=89_000, facts=gone).actions == (told(1, "n1", Outcome.COMPLETED, "caller_left"),)


def test_a_caller_who_hangs_up_while_the_agent_starts_ends_it_after_the_grace() -> None:
    gone = replace(FACTS, asked_epoch=1, caller_here=False, caller_left_ms=T0 - 29_000)
    assert decided(REQUESTED, (10, assigned()), after=1_000, facts=gone).actions == (
        told(1, "n1", Outcome.COMPLETED, "caller_left"),
    )


def test_no_session_is_longer_than_its_timeout() -> None:
    assert decided(*RUNNING, after=1_800_499).actions == ()
    assert decided(*RUNNING, after=1_800_500).actions == (told(1, "n1", Outcome.COMPLETED, "session_timeout"),)


POLITE = replace(LIMITS, timeout_goodbye="Time is up.")
TIMEOUT = Verdict(Outcome.COMPLETED, "session_timeout")


def test_at_the_timeout_alone_the_agent_says_a_last_sentence() -> None:
    spoken = StopAgent(1, "n1", TIMEOUT, "Time is up.")
    assert decided(*RUNNING, after=1_800_500, limits=POLITE).actions == (spoken,)
    assert decided(*RUNNING, (5_000, end_requested()), after=5_001, limits=POLITE).actions == (
        told(1, "n1", Outcome.COMPLETED, "rest"),
    )
    gone = replace(FACTS, room_closed=True)
    assert decided(*RUNNING, after=5_000, facts=gone, limits=POLITE).actions == (
        told(1, "n1", Outcome.COMPLETED, "room_closed"),
    )


def test_without_a_setting_the_last_sentence_is_in_the_sessions_language() -> None:
    german = (RUNNING[0][0], requested(language="de"))
    limits = replace(LIMITS, timeout_goodbye=None)
    [stop] = decided(german, *RUNNING[1:], after=1_800_500, limits=limits).actions
    assert stop == StopAgent(1, "n1", TIMEOUT, "Es tut mir leid, unsere Zeit ist um. Auf Wiederhören.")
    [stop] = decided(
        *RUNNING, after=1_800_500, limits=replace(limits, lines={"en": {"timeout_goodbye": "Bye."}})
    ).actions
    assert stop == StopAgent(1, "n1", TIMEOUT, "Bye.")


@pytest.mark.parametrize("facts", [replace(FACTS, caller_here=False), replace(FACTS, caller_left_ms=T0 + 1_790_000)])
def test_nothing_is_said_at_the_timeout_to_a_caller_who_is_away(facts: Facts) -> None:
    assert decided(*RUNNING, after=1_800_500, facts=facts, limits=POLITE).actions == (StopAgent(1, "n1", TIMEOUT),)


def test_nothing_is_said_at_the_timeout_by_an_agent_that_is_not_in_the_room() -> None:
    events = (*RUNNING, (1_800_000, stopped()), (1_800_010, assigned(2, "n2")))
    assert decided(*events, after=1_800_500, limits=POLITE).actions == (StopAgent(2, "n2", TIMEOUT),)


def test_an_end_by_rest_cuts_the_last_sentence_once_and_the_reason_stands() -> None:
    speaking = replace(FACTS, verdict=TIMEOUT, end_command=EndCommand(1, T0 + 1_800_000, speaks=True))
    assert decided(*RUNNING, after=1_801_000, facts=speaking, limits=POLITE).actions == ()
    events = (*RUNNING, (1_801_000, end_requested()))
    assert decided(*events, after=1_801_001, facts=speaking, limits=POLITE).actions == (StopAgent(1, "n1", TIMEOUT),)
    cut = replace(speaking, end_command=EndCommand(1, T0 + 1_800_000))
    assert decided(*events, after=1_801_002, facts=cut, limits=POLITE).actions == ()
    hung_up = replace(speaking, caller_left_ms=T0 + 1_801_000)
    assert decided(*RUNNING, after=1_801_001, facts=hung_up, limits=POLITE).actions == (StopAgent(1, "n1", TIMEOUT),)


def test_an_end_is_asked_of_the_node_first_and_concluded_on_its_answer() -> None:
    events = (*RUNNING, (5_000, end_requested()))
    assert decided(*events, after=5_001).actions == (told(1, "n1", Outcome.COMPLETED, "rest"),)
    asked = replace(FACTS, end_command=EndCommand(1, T0 + 5_001))
    assert decided(*events, after=5_002, facts=asked) == Decision((), T0 + 5_001 + LIMITS.end_wait_ms)
    answered = replace(asked, end_answer=EndAnswer(1, 4_000))
    assert decided(*events, after=5_003, facts=answered).actions == (over(Outcome.COMPLETED, "rest"),)


def test_the_agents_last_word_does_not_change_why_it_was_told_to_stop() -> None:
    verdict = Verdict(Outcome.COMPLETED, "caller_left")
    told = replace(FACTS, verdict=verdict, end_command=EndCommand(1), caller_here=True)
    assert decided(*RUNNING, (5_000, stopped(cause="ended")), after=5_001, facts=told).actions == (End(verdict),)


def test_a_new_leader_finds_the_time_that_was_over_behind_the_nodes_word() -> None:
    late = decided(*RUNNING, (1_800_500, stopped(cause="ended")), after=1_800_600)
    assert late.actions == (over(Outcome.COMPLETED, "session_timeout"),)


def test_a_stop_in_the_log_needs_no_answer() -> None:
    events = (*RUNNING, (5_000, end_requested()), (5_010, stopped(cause="ended")))
    assert decided(*events, after=5_011).actions == (over(Outcome.COMPLETED, "rest"),)


def test_an_end_while_waiting_concludes_at_once() -> None:
    assert decided(REQUESTED, (5, end_requested()), after=6, facts=replace(FACTS, slot=None)).actions == (
        over(Outcome.COMPLETED, "rest"),
    )


def test_an_end_while_starting_stops_the_node_first() -> None:
    events = (REQUESTED, (10, assigned()), (15, end_requested()))
    assert decided(*events, after=16, facts=replace(FACTS, asked_epoch=1)).actions == (
        told(1, "n1", Outcome.COMPLETED, "rest"),
    )


def test_an_older_epochs_stop_ends_nothing() -> None:
    events = (*RUNNING, (5_000, assigned(2, "n2")), (5_300, ready(2, "n2")), (5_400, stopped(800, 1, "ended")))
    assert decided(*events, after=5_500, facts=replace(FACTS, asked_epoch=2)).actions == ()


@pytest.mark.parametrize("cause", ["crashed", "stalled", "failed", "removed", "drained"])
def test_a_dead_agent_is_replaced(cause: str) -> None:
    assert decided(*RUNNING, (5_000, stopped(cause=cause)), after=5_001).actions == (Place(),)


def test_the_successor_of_an_agent_that_was_heard_takes_over() -> None:
    events = (*RUNNING, (5_000, stopped()), (5_001, assigned(2, "n2")))
    assert decided(*events, after=5_002).actions == (Ask(2, "n2", takeover=True),)


def test_a_caller_who_met_no_agent_yet_is_greeted_by_the_second_as_by_the_first() -> None:
    events = (REQUESTED, (10, assigned()), (500, ready()), (900, stopped()), (910, assigned(2, "n2")))
    assert decided(*events, after=911).actions == (Ask(2, "n2", takeover=False),)


SPENT: tuple[Entry, ...] = (
    *RUNNING,
    (5_000, assigned(2)),
    (5_100, ready(2)),
    (6_000, assigned(3)),
    (6_100, ready(3)),
    (7_000, stopped(epoch=3)),
)
FAILED = over(Outcome.FAILED, "agent_failed")


def test_after_the_last_take_over_one_more_agent_says_goodbye() -> None:
    assert decided(*SPENT, after=7_001).actions == (Place(),)
    last = (*SPENT, (7_010, assigned(4, "n2")))
    assert decided(*last, after=7_011).actions == (Ask(4, "n2", takeover=True, farewell=True),)
    said = (*last, (7_300, ready(4, "n2")))
    asked = replace(FACTS, asked_epoch=4)
    assert decided(*said, after=7_301, facts=asked) == Decision((), T0 + 19_010)
    assert decided(*said, (10_000, stopped(epoch=4, cause="farewell")), after=10_001, facts=asked).actions == (FAILED,)
    assert decided(*said, after=19_010, facts=asked).actions == (told(4, "n2", Outcome.FAILED, "agent_failed"),)
    assert decided(*SPENT, after=7_001, limits=replace(LIMITS, max_takeovers=3)).actions == (Place(),)


def test_a_goodbye_that_cannot_begin_in_time_is_left_out() -> None:
    asked = replace(FACTS, asked_epoch=4, counted_epoch=4)
    assert decided(*SPENT, (7_010, assigned(4, "n2")), after=12_010, facts=asked).actions == (
        told(4, "n2", Outcome.FAILED, "agent_failed"),
    )
    assert decided(*SPENT, after=12_000).actions == (FAILED,)


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, caller_here=False),
        replace(FACTS, caller_left_ms=T0 + 6_900),
        replace(FACTS, blocked="no_nodes"),
    ],
)
def test_nobody_says_goodbye_where_nobody_hears_or_nobody_can(facts: Facts) -> None:
    assert decided(*SPENT, after=7_001, facts=facts).actions == (FAILED,)


def test_a_call_may_be_handed_over_by_any_number_of_drained_nodes() -> None:
    events = [*RUNNING]
    for epoch in range(1, 6):
        at = 5_000 * epoch
        events += [
            (at, stopped(epoch=epoch, cause="drained")),
            (at + 10, assigned(epoch + 1)),
            (at + 300, ready(epoch + 1)),
        ]
    last = (*events, (40_000, stopped(epoch=6, cause="drained")))
    assert decided(*last, after=40_001).actions == (Place(),)


def test_an_agent_that_its_node_does_not_list_for_two_seconds_is_lost() -> None:
    unlisted = replace(FACTS, unlisted=JobUnlisted(1, T0 + 50_000))
    assert decided(*RUNNING, after=51_999, facts=unlisted) == Decision((), T0 + 52_000)
    assert decided(*RUNNING, after=52_000, facts=unlisted).actions == (StopSuperseded(1, "n1"), Place())
    older = replace(unlisted, unlisted=JobUnlisted(2, T0 + 50_000))
    assert decided(*RUNNING, after=52_000, facts=older).actions == ()


def test_a_call_that_nobody_can_take_over_ends() -> None:
    events = (*RUNNING, (5_000, stopped()))
    assert decided(*events, after=34_999).actions == (Place(),)
    assert decided(*events, after=35_000).actions == (over(Outcome.FAILED, "agent_failed"),)


def test_a_lost_nodes_call_is_taken_over() -> None:
    lost = replace(FACTS, node_lost_ms=T0 + 5_000)
    assert decided(*RUNNING, after=5_001, facts=lost).actions == (StopSuperseded(1, "n1"), Place())


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("room_closed", Outcome.COMPLETED),
        ("ended", Outcome.COMPLETED),
        ("provider_failed:stt", Outcome.FAILED),
    ],
)
def test_some_stops_leave_nobody_to_talk_to(cause: str, outcome: Outcome) -> None:
    assert decided(*RUNNING, (5_000, stopped(cause=cause)), after=5_001).actions == (over(outcome, cause),)


def test_a_room_that_was_not_there_yet_is_tried_again() -> None:
    events = (REQUESTED, (10, assigned()), (300, stopped(cause="room_closed")))
    assert decided(*events, after=400).actions == (Place(),)


def test_a_closed_room_ends_the_session() -> None:
    assert decided(*RUNNING, after=5_000, facts=replace(FACTS, room_closed=True)).actions == (
        told(1, "n1", Outcome.COMPLETED, "room_closed"),
    )


def test_after_the_end_slot_and_room_go_and_then_nothing_is_left() -> None:
    events = (*RUNNING, (5_000, stopped(cause="ended")), (5_010, ended()))
    assert decided(*events, after=5_011).actions == (ReleaseSlot(0), DeleteRoom())
    cleared = replace(FACTS, slot=None, room_deleted=True)
    assert decided(*events, after=5_012, facts=cleared).actions == (Remove(),)


def test_an_end_whose_outcome_got_lost_is_sent_again_and_then_does_without_one() -> None:
    events = (*RUNNING, (5_000, end_requested()))
    asked = replace(FACTS, end_command=EndCommand(1, T0 + 5_001))
    lost_at = 5_001 + LIMITS.end_wait_ms
    assert decided(*events, after=lost_at - 1, facts=asked).actions == ()
    assert decided(*events, after=lost_at, facts=asked).actions == (told(1, "n1", Outcome.COMPLETED, "rest"),)
    twice = replace(asked, end_command=EndCommand(1, T0 + 5_001, tries=2))
    assert decided(*events, after=lost_at, facts=twice).actions == (over(Outcome.COMPLETED, "rest"),)


def test_a_silent_node_is_told_once_more_after_the_end() -> None:
    facts = replace(FACTS, end_command=EndCommand(1), end_answer=EndAnswer(1, None))
    assert StopSuperseded(1, "n1") in decided(*RUNNING, (5_010, ended()), after=5_011, facts=facts).actions
    answered = replace(facts, end_answer=EndAnswer(1, 900))
    assert StopSuperseded(1, "n1") not in decided(*RUNNING, (5_010, ended()), after=5_011, facts=answered).actions


def test_without_its_request_nothing_is_done() -> None:
    assert decided((10, assigned()), after=20) == Decision()


@pytest.mark.parametrize(("since", "rejected_at"), [(20_000, 30_000), (28_000, 33_000), (60_000, 65_000)])
def test_a_start_that_waited_while_no_scheduler_led_gets_its_chance(since: int, rejected_at: int) -> None:
    new = replace(FACTS, slot=None, since_ms=T0 + since)
    assert decided(REQUESTED, after=rejected_at - 1, facts=new) == Decision((Place(),), T0 + rejected_at)
    assert decided(REQUESTED, after=rejected_at, facts=new).actions == (over(Outcome.REJECTED, "queue_deadline"),)


def test_a_start_whose_room_is_gone_by_now_is_rejected_by_the_next_leader() -> None:
    new = replace(FACTS, slot=None, since_ms=T0 + 90_001)
    assert decided(REQUESTED, after=90_001, facts=new).actions == (over(Outcome.REJECTED, "queue_deadline"),)
