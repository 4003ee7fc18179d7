"""What LiveKit's answers mean, and what is said of a probe that got none."""

import pytest

from chassis.livekit_probe import LiveKitFacts, ahead, http_url


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("ws://a:7880", "http://a:7880"),
        ("wss://a/", "https://a"),
        ("https://ws.example", "https://ws.example"),
        ("http://a", "http://a"),
    ],
)
def test_the_address_for_plain_requests(url: str, plain: str) -> None:
    assert http_url(url) == plain


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sat, 99 Nov 2026 19:19:39 GMT"])
def test_a_date_that_is_none_says_nothing(date: str | None) -> None:
    assert ahead(date, 0) is None


def test_clocks_are_compared_to_a_second() -> None:
    assert ahead("Thu, 01 Jan 1970 00:01:40 GMT", 190) == 89.5


@pytest.mark.parametrize(("ahead_s", "text"), [(89.5, "90 s ahead of"), (-3600.0, "3600 s behind"), (9.0, None)])
def test_a_difference_is_told_from_ten_seconds_on(ahead_s: float, text: str | None) -> None:
    skew = LiveKitFacts(clock_ahead_s=ahead_s).skew

    assert (skew is None) if text is None else (skew is not None and text in skew)


def test_what_was_not_checked_is_named() -> None:
    assert LiveKitFacts().unchecked == ("the API key", "room.auto_create", "the clock")
    assert LiveKitFacts(reachable=True, accepts_key=True, auto_create=False, clock_ahead_s=0.1).unchecked == ()
