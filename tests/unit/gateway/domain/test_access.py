"""API keys and where the API may listen without them."""

import hashlib

import pytest

from gateway.domain.access import BadApiKey, Scope, UnsafeBind, check_bind, find_key, parse_keys

KEY = "k" * 32
STORED = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.parametrize("configured", [[KEY], [STORED], ["another-long-enough-key", STORED]])
def test_a_configured_key_find_key_however_it_is_stored(configured: list[str]) -> None:
    assert find_key(KEY, parse_keys(configured))


@pytest.mark.parametrize("presented", ["", "k" * 31, KEY + "k", STORED, "ключ"])
def test_anything_else_is_not(presented: str) -> None:
    assert find_key(presented, parse_keys([KEY])) is None


@pytest.mark.parametrize("configured", ["short", "sha256:abc", "sha256:" + "G" * 64, "sha256:" + "A" * 64])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(configured: str) -> None:
    with pytest.raises(BadApiKey, match="GREENROOM_API_KEYS") as refused:
        parse_keys([configured])

    assert configured.removeprefix("sha256:") not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_without_a_key_only_this_machine_may_come_in(host: str) -> None:
    check_bind(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "gateway.example", ""])
def test_without_a_key_any_other_bind_is_refused_with_the_fix(host: str) -> None:
    with pytest.raises(UnsafeBind, match="GREENROOM_API_KEYS") as refused:
        check_bind(host, ())

    assert "\n" not in str(refused.value)


def test_with_a_key_any_bind_is_fine() -> None:
    check_bind("0.0.0.0", parse_keys([KEY]))


def test_a_key_without_scopes_has_all_and_one_with_scopes_has_those() -> None:
    other = "sha256:" + hashlib.sha256(b"other").hexdigest()

    every, some, one = parse_keys([KEY, "another-long-enough-key[sessions+tokens]", f"{other}[billing:read]"])

    assert every.scopes == frozenset(Scope)
    assert some.scopes == {Scope.SESSIONS, Scope.TOKENS}
    assert one.scopes == {Scope.BILLING_READ}
    assert find_key("another-long-enough-key", [some]) is some, "the scopes are no part of the key"


@pytest.mark.parametrize(
    "bad",
    [
        "another-long-enough-key[]",
        "another-long-enough-key[root]",
        "another-long-enough-key[sessions,tokens]",
        "another-long-enough-key[sessions+]",
        "short[sessions]",
        "change-me-change-me-change-me",
        "CHANGE-ME-" + "x" * 40,
        KEY,
        f"{KEY}[admin]",
    ],
)
def test_an_entry_that_is_not_valid_is_named_by_its_position(bad: str) -> None:
    with pytest.raises(BadApiKey, match="entry 2") as refused:
        parse_keys([KEY, bad])

    assert bad.partition("[")[0] not in str(refused.value)


@pytest.mark.parametrize(
    "bad", ["{}[sessions", "{}sessions]", "{}(sessions)", "{}[sessions][tokens]", "{}[sessions]tokens", "[sessions]{}"]
)
def test_misspelt_scopes_never_make_a_key_with_all_of_them(bad: str) -> None:
    key = "another-long-enough-key"

    with pytest.raises(BadApiKey, match=r"entry 2.*write KEY\[sessions\+tokens\]") as refused:
        parse_keys([KEY, bad.format(key)])

    assert key not in str(refused.value)


def test_scopes_with_a_comma_between_them_are_told_of_the_plus() -> None:
    with pytest.raises(BadApiKey, match=r"entry 2: separate scopes by \+, since a comma ends the entry"):
        parse_keys([KEY, "another-long-enough-key[sessions", "tokens", "admin]"])
