"""Which gaps in the caller's packets mean that its network is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.reception import GAP_S, LONGEST_S, PROOF_S, Reception

LOOK_S = 0.25


class Caller:
    """A caller's packets, and the looks at them."""

    def __init__(self) -> None:
        self.now = self.came = 0.0
        self.packets = 0
        self.reception = Reception()

    def sends(self, for_s: float, every_s: float = 0.02, *, is_quiet: bool = True) -> "Caller":
        """Packets come so often for so long; returns after the last look."""
        for _ in range(round(for_s / LOOK_S)):
            self.now += LOOK_S
            if every_s and self.now - self.came >= every_s:
                self.packets, self.came = self.packets + 1, self.now
            self.reception = self.reception.looked(self.now, self.packets, is_quiet=is_quiet)
        return self

    def sends_nothing(self, for_s: float) -> "Caller":
        return self.sends(for_s, 0.0)


@pytest.mark.parametrize("every_s", [0.02, 0.4], ids=["without DTX", "with DTX"])
def test_a_client_that_sends_in_silence_and_then_nothing_is_lost_until_a_packet_comes(every_s: float) -> None:
    caller = Caller().sends(PROOF_S + 2, every_s)
    assert not caller.reception.is_lost
    assert not caller.sends_nothing(GAP_S - LOOK_S).reception.is_lost
    assert caller.sends_nothing(2 * LOOK_S).reception.is_lost
    assert caller.sends_nothing(15).reception.is_lost
    assert not caller.sends(LOOK_S).reception.is_lost


def test_a_client_that_sends_only_speech_is_never_lost() -> None:
    caller = Caller()
    for _ in range(10):
        caller.sends(3, is_quiet=False).sends(0.5)  # it goes on for a moment after the speech
        for _ in range(20):
            assert not caller.sends_nothing(LOOK_S).reception.is_lost


def test_the_proof_gathers_in_the_pauses_of_a_lively_conversation() -> None:
    caller = Caller()
    for _ in range(6):
        caller.sends(2, is_quiet=False).sends(1, 0.4)
    assert caller.sends_nothing(GAP_S + LOOK_S).reception.is_lost


def test_a_caller_who_is_still_in_the_room_after_all_is_never_lost_again() -> None:
    caller = Caller().sends(PROOF_S + 1).sends_nothing(LONGEST_S + 1)
    assert not caller.reception.is_lost
    assert not caller.sends(10).sends_nothing(10).reception.is_lost


def test_a_muted_caller_is_not_missed_and_after_it_a_new_gap_begins() -> None:
    caller = Caller().sends(PROOF_S + 1)
    for _ in range(100):
        caller.now += LOOK_S
        caller.reception = caller.reception.looked(caller.now, None, is_quiet=True)
        assert not caller.reception.is_lost
    assert not caller.sends_nothing(GAP_S - LOOK_S).reception.is_lost


def test_another_client_of_the_caller_has_to_show_anew_that_it_sends_in_silence() -> None:
    caller = Caller().sends(PROOF_S + 1)
    caller.packets = 0
    assert not caller.sends(1, is_quiet=False).sends_nothing(10).reception.is_lost
    assert caller.sends(PROOF_S + 1).sends_nothing(GAP_S + LOOK_S).reception.is_lost


def test_a_process_that_stood_still_misses_nothing() -> None:
    caller = Caller().sends(PROOF_S + 1)
    caller.now += 60
    assert not caller.sends_nothing(LOOK_S).reception.is_lost


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.02, 0.4]), st.booleans()), max_size=200))
def test_nothing_is_lost_while_packets_come(steps: list[tuple[float, bool]]) -> None:
    caller = Caller()
    for every_s, is_quiet in steps:
        before = caller.packets
        caller.sends(LOOK_S, every_s, is_quiet=is_quiet)
        assert not (caller.reception.is_lost and caller.packets > before)
