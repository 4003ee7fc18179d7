"""What the commands and their children go by on the network."""

import os
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

from greenroom_cli import network
from greenroom_cli.errors import CommandError

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "example.com, inner.example,10.0.0.0/8")
    monkeypatch.setenv("no_proxy", "")


def test_a_proxy_is_kept_off_the_local_stack() -> None:
    network.prepare()

    assert os.environ["NO_PROXY"] == "example.com,inner.example,10.0.0.0/8,127.0.0.1,localhost,::1"
    assert proxy_bypass("127.0.0.1")


def test_what_requests_reads_counts_for_openssl_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    network.prepare()

    assert os.environ["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")


def test_ssl_cert_file_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "a.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "b.pem"))

    network.prepare()

    assert os.environ["SSL_CERT_FILE"] == str(tmp_path / "a.pem")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_authorities_that_are_not_there_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/absent")

    with pytest.raises(CommandError, match=f"{name} names /absent"):
        network.prepare()


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("ws://127.0.0.1:7880", True),
        ("ws://[::1]:7880", True),
        ("ws://localhost:7880", True),
        ("wss://livekit.example.com", True),
        ("wss://inner.example:443", True),
        ("ws://10.1.2.3:7880", True),
        ("wss://elsewhere.example", False),
        ("ws://192.0.2.1:7880", False),
    ],
)
def test_no_proxy_counts_for_a_library_that_does_not_know_it(url: str, hidden: bool) -> None:
    network.prepare()

    with network.as_no_proxy_says(url):
        assert ("HTTP_PROXY" not in os.environ) == hidden

    assert os.environ["HTTP_PROXY"] == PROXY
