"""NATS_URL and the files beside it: read once, and refused without a part of the URL in the text."""

from pathlib import Path
from typing import Any

import pytest

from chassis.access import NatsAccess


def test_a_user_and_a_password_are_percent_decoded() -> None:
    access = NatsAccess.of("nats://b%40b:p%40ss%2F%23%25@host:4222")

    assert (access.user, access.password) == ("b@b", "p@ss/#%")
    assert access.servers == ("nats://host:4222",)


def test_a_percent_sign_that_escapes_nothing_is_taken_as_it_is() -> None:
    assert NatsAccess.of("nats://bob:50%@host").password == "50%"


def test_a_user_without_a_password_is_a_token() -> None:
    access = NatsAccess.of("nats://t%40ken@host:4222")

    assert (access.token, access.user, access.password) == ("t@ken", None, None)


def test_one_identity_serves_all_servers() -> None:
    access = NatsAccess.of("tls://bob:p@a:4222, tls://b:4223,c:4224")

    assert access.servers == ("tls://a:4222", "tls://b:4223", "nats://c:4224")
    assert (access.user, access.password) == ("bob", "p")


def test_nothing_that_is_shown_holds_the_password() -> None:
    access = NatsAccess.of("nats://bob:hunter2@host:4222")

    assert "hunter2" not in repr(access)
    assert access.shown == "nats://host:4222"


@pytest.mark.parametrize(
    "url",
    [
        "nats://",
        "nats://bob:hunter2/x@host:4222",
        "nats://bob:hunter2#x@host:4222",
        "nats://bob/hunter2@host:4222",
        "nats://bob:hunter2?x@host:4222",
        "nats://bob:hunter2,x@host:4222",
        "nats://bob:hunter2%ff@host:4222",
        "nats://bob:hunter2@host:99999",
        "nats://bob:hunter2@[::1",
        "nats://bob:hunter2@host:4222/path",
        "nats://bob:hunter2@host:4222?tls=1",
        "ws://bob/hunter2@host",
        "nats://bob:hunter2@a,ws://bob:hunter2@b",
        "nats://bob:hunter2@a,nats://ann:hunter2@b",
        "http://bob:hunter2@host:4222",
    ],
)
def test_what_cannot_work_is_refused_without_the_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        NatsAccess.of(url)

    assert "hunter2" not in str(caught.value)
    assert "bob" not in str(caught.value)


FILE = Path("file")


@pytest.mark.parametrize(
    ("url", "files", "named"),
    [
        ("nats://bob:p@host", {"creds": FILE}, "NATS_CREDS"),
        ("nats://host", {"creds": FILE, "nkey_seed": FILE}, "NATS_NKEY_SEED_FILE"),
        ("nats://host", {"key": FILE}, "NATS_CERT_FILE"),
        ("ws://host", {"cert": FILE}, "wss://"),
    ],
)
def test_what_does_not_go_together_is_named(url: str, files: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        NatsAccess.of(url, **files)


@pytest.mark.parametrize(
    ("url", "files", "wanted"),
    [
        ("nats://host", {}, False),
        ("ws://host", {}, False),
        ("tls://host", {}, True),
        ("wss://host", {}, True),
        ("nats://host", {"ca": FILE}, True),
        ("nats://host", {"cert": FILE}, True),
    ],
)
def test_tls_is_demanded_where_it_was_asked_for(url: str, files: dict[str, Any], wanted: bool) -> None:
    assert NatsAccess.of(url, **files).must_encrypt is wanted
