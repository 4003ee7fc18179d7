"""Which faults of the providers are reported."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.call_events import TellFault
from agent_runner.domain.fault_report import MOST, FaultReport

_providers = st.sampled_from(["stt", "llm", "tts"])
_words = st.lists(
    st.tuples(
        st.sampled_from(["failed", "recovered", "unusable", "unanswered"]), st.sampled_from(["stt", "llm", "tts"])
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
