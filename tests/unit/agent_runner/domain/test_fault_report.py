"""Which faults of the providers and of the caller's network are reported."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.call_events import TellFault
from agent_runner.domain.fault_report import MOST, MOST_LOST, FaultReport

_providers = st.sampled_from(["stt", "llm", "tts"])
_words = st.lists(
    st.tuples(
        st.sampled_from(["failed", "recovered", "unusable", "unanswered", "lost"]),
        st.sampled_from(["stt", "llm", "tts"]),
    ),
    max_size=200,
)


def told_of(words: list[tuple[str, str]]) -> list[TellFault]:
    report, now, found = FaultReport(), 100.0, list[TellFault]()
    for what, provider in words:
        now += 0.5
        if what == "failed":
            report, told = report.failed(provider, now, ago_ms=100)
        elif what == "recovered":
            report, told = report.recovered(provider, now)
        elif what == "unanswered":
            report, told = report.unanswered(provider, broke_off=False, ms=1, name="server: NoAnswer")
        elif what == "lost":
            report, told = report.unreachable("", ms=1_250, again_ms=0)
            found += told
            report, told = report.unreachable("back", ms=3_200, again_ms=1_400)
        else:
            report, told = report.unusable(provider)
        found += told
    return found


@given(_words)
def test_the_reports_are_numbered_bounded_and_come_in_pairs(words: list[tuple[str, str]]) -> None:
    told = told_of(words)

    assert [each.n for each in told] == list(range(1, len(told) + 1))
    assert len(told) <= MOST
    for provider in ("stt", "llm", "tts"):
        silent = [each.ms for each in told if each.provider == provider and each.kind == "silent"]
        assert all(ms is None for ms in silent[::2])
        assert all(ms is not None and ms >= 600 for ms in silent[1::2])


def test_a_provider_that_fails_and_recovers_all_the_time_fills_no_log_and_hides_no_end() -> None:
    told = told_of([*[("failed", "tts"), ("recovered", "tts")] * 100, ("unusable", "tts"), ("unusable", "llm")])

    assert len(told) < MOST
    assert [(each.provider, each.kind) for each in told[-2:]] == [("tts", "unusable"), ("llm", "unusable")]


@given(_words)
def test_each_gap_that_is_reported_has_a_begin_and_an_end(words: list[tuple[str, str]]) -> None:
    gaps = [(each.kind, each.ms, each.again_ms) for each in told_of(words) if each.provider == "network"]

    assert len(gaps) <= MOST_LOST
    assert gaps == [("lost", None, 0), ("lost", 3_200, 1_400)] * (len(gaps) // 2)


def test_a_network_that_is_lost_all_the_time_hides_no_fault_of_a_provider_nor_the_other_way() -> None:
    faults = [("failed", "tts"), ("recovered", "tts")] * 100
    lost = [("lost", "")] * 100
    for words in ([*faults, *lost], [*lost, *faults]):
        told = told_of([*words, ("unusable", "tts")])
        assert sum(each.provider == "network" for each in told) == MOST_LOST
        assert len([each for each in told if each.kind == "silent"]) == len(told_of(faults))
        assert told[-1].kind == "unusable"


def test_why_the_agent_waits_no_longer_is_reported() -> None:
    report = FaultReport()
    report, left = report.unreachable("left", ms=18_200, again_ms=0)
    report, given_up = report.unreachable("given_up", ms=25_000, again_ms=400)

    assert left == (TellFault(1, "network", "left", 18_200),)
    assert given_up == (TellFault(2, "network", "given_up", 25_000, again_ms=400),)
