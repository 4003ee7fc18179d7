"""What stands between a command and its gateway: proxies of the environment, and private certificate authorities."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from gateway.adapters.billing_http import BillingHttp
from greenroom_cli.stack.ports import free_ports
from tests.integration.cli.running import greenroom
from tests.integration.cli.stand_in_gateway import BILL, SESSION, StandIn, stand_in_gateway

FOUND = SESSION


@pytest.fixture(scope="module")
def proxy() -> Iterator[StandIn]:
    with stand_in_gateway() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA) -> Iterator[StandIn]:
    """A gateway whose certificate is of an authority that no system knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with stand_in_gateway(tls=context) as server:
        yield server


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return str(tmp_path / "authority.pem")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_gateway_on_loopback_is_reached_past_any_proxy(host: str, tmp_path: Path) -> None:
    nowhere = f"socks5://127.0.0.1:{next(free_ports())}"
    with stand_in_gateway(host=host) as gateway:
        result = greenroom(
            "sessions", "--url", gateway.url, folder=tmp_path, HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere
        )

    assert FOUND in result.stdout, result.stderr


def test_a_gateway_elsewhere_is_reached_through_the_proxy(proxy: StandIn, tmp_path: Path) -> None:
    result = greenroom("sessions", "--url", "http://gateway.example", folder=tmp_path, HTTP_PROXY=proxy.url)

    assert FOUND in result.stdout, result.stderr
    assert proxy.asked[-1].startswith("http://gateway.example/v1/sessions")


def test_a_socks_proxy_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    result = greenroom(
        "sessions",
        "--url",
        "http://gateway.example",
        folder=tmp_path,
        ALL_PROXY=f"socks5://127.0.0.1:{next(free_ports())}",
    )

    assert result.returncode == 1
    assert result.stderr.startswith("greenroom: no gateway at http://gateway.example")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own_is_trusted(variable: str, secured: StandIn, bundle: str, tmp_path: Path) -> None:
    result = greenroom("sessions", "--url", secured.url, folder=tmp_path, **{variable: bundle})

    assert FOUND in result.stdout, result.stderr


def test_an_unknown_authority_is_refused_in_one_line(secured: StandIn, tmp_path: Path) -> None:
    result = greenroom("sessions", "--url", secured.url, folder=tmp_path)

    assert result.returncode == 1
    assert "certificate verify failed" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = greenroom("sessions", "--url", "http://127.0.0.1:9", folder=tmp_path, SSL_CERT_FILE="/absent.pem")

    assert result.returncode == 1
    assert (
        result.stderr == "greenroom: SSL_CERT_FILE names /absent.pem, which does not exist; correct it, or unset it\n"
    )


async def test_the_gateway_trusts_it_for_billing_too(
    secured: StandIn, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    billing = BillingHttp(secured.url, deadline_s=5)
    try:
        assert await billing.session(SESSION) == BILL
    finally:
        await billing.close()
