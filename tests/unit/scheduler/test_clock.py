"""The log's clock."""

from hypothesis import given
from hypothesis import strategies as st
from scheduler.domain.clock import LogClock


@given(
    st.integers(0, 10**12),
    st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 5000)), min_size=1),
)
def test_it_is_as_late_as_the_fastest_delivery_and_never_ahead(epoch_ms: int, seen: list[tuple[float, int]]) -> None:
    clock = LogClock()
    for monotonic_s, delay_ms in seen:
        true_ms = epoch_ms + round(monotonic_s * 1000)
        clock.observe(true_ms - delay_ms, monotonic_s)
    late_ms = epoch_ms + 2_000_000 - clock.now_ms(2_000.0)
    assert -2 <= late_ms - min(delay for _, delay in seen) <= 2


def test_it_goes_on_between_messages() -> None:
    clock = LogClock()
    assert not clock.is_set
    clock.observe(1_000, 50.0)
    assert clock.is_set
    assert clock.now_ms(51.5) == 2_500
