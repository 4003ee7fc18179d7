"""API keys and where the API may listen without them."""

import hashlib

import pytest
from gateway.domain.access import BadApiKey, UnsafeBind, check_bind, is_known, parse_keys

KEY = "k" * 32
STORED = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.parametrize("configured", [[KEY], [STORED], ["another-long-enough-key", STORED]])
def test_a_configured_key_is_known_however_it_is_stored(configured: list[str]) -> None:
    assert is_known(KEY, parse_keys(configured))


@pytest.mark.parametrize("presented", ["", "k" * 31, KEY + "k", STORED, "ключ"])
def test_anything_else_is_not(presented: str) -> None:
    assert not is_known(presented, parse_keys([KEY]))


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
