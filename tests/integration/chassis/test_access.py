"""Credentials and TLS on real servers, and what the start says when something of it is missing."""

import asyncio
import time
from pathlib import Path

import pytest
import trustme

from chassis.access import NatsAccess
from chassis.errors import StartFailed
from chassis.nats import Bus, BusRefused, BusUnavailable
from contracts.streams import BUCKETS, STREAMS
from contracts.subjects import session_log
from tests.integration.chassis import jwts
from tests.integration.chassis.events import requested
from tests.support.servers import NatsServer

USER = (
    'authorization {{ users: [ {{ user: bob, password: "p", '
    'permissions: {{ publish: {publish}, subscribe: [">"] }} }} ] }}'
)


class Certificates:
    """A private authority, a server's certificate for localhost, and a client's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.server, self.server_key = _write(authority.issue_cert("127.0.0.1", "localhost"), folder, "server")
        self.client, self.client_key = _write(authority.issue_cert("greenroom"), folder, "client")

    def config(self, *, verify: bool) -> str:
        """For nats-server."""
        files = f"cert_file: '{self.server}', key_file: '{self.server_key}', ca_file: '{self.ca}'"
        return f"tls {{ {files}, verify: {str(verify).lower()} }}"


def _write(leaf: trustme.LeafCert, folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    return cert, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "files")


def restarted(server: NatsServer, config: str) -> NatsServer:
    server.configure(config)
    server.restart()
    return server


async def opened(access: NatsAccess | str) -> None:
    """Connect, and have JetStream answer."""
    bus = await Bus.connect(access, name="test", deadline_s=5)
    await bus.ensure(STREAMS[:1])
    await bus.close()


async def test_a_password_in_the_url_is_percent_decoded(nats_server: NatsServer) -> None:
    restarted(nats_server, 'authorization { user: "b@b", password: "p@ss/#%" }')

    await opened(nats_server.url.replace("//", "//b%40b:p%40ss%2F%23%25@"))


async def test_a_token_in_the_url_is_percent_decoded(nats_server: NatsServer) -> None:
    restarted(nats_server, 'authorization { token: "t@ken" }')

    await opened(nats_server.url.replace("//", "//t%40ken@"))


async def test_an_nkey_opens_the_connection(nats_server: NatsServer, tmp_path: Path) -> None:
    seed, public = jwts.user_key()
    file = tmp_path / "user.nk"
    file.write_bytes(seed + b"\n")
    restarted(nats_server, f"authorization {{ users: [ {{ nkey: {public} }} ] }}")

    await opened(NatsAccess.of(nats_server.url, nkey_seed=file))


async def test_a_credentials_file_opens_the_connection(nats_server: NatsServer, tmp_path: Path) -> None:
    house = jwts.operator()
    creds = tmp_path / "bob.creds"
    creds.write_text(house.creds)
    restarted(nats_server, house.config)

    await opened(NatsAccess.of(nats_server.url, creds=creds))


async def test_another_operators_credentials_are_refused(nats_server: NatsServer, tmp_path: Path) -> None:
    creds = tmp_path / "bob.creds"
    creds.write_text(jwts.operator().creds)
    restarted(nats_server, jwts.operator().config)

    with pytest.raises(BusRefused, match="user or password"):
        await opened(NatsAccess.of(nats_server.url, creds=creds))


@pytest.mark.parametrize("variable", ["NATS_CREDS", "NATS_NKEY_SEED_FILE", "NATS_CA_FILE", "NATS_CERT_FILE"])
async def test_a_file_that_holds_something_else_is_named(nats_url: str, tmp_path: Path, variable: str) -> None:
    file = tmp_path / "file"
    file.write_text("-----BEGIN USER NKEY SEED-----\nhunter2\n")
    argument = {
        "NATS_CREDS": "creds",
        "NATS_NKEY_SEED_FILE": "nkey_seed",
        "NATS_CA_FILE": "ca",
        "NATS_CERT_FILE": "cert",
    }[variable]

    with pytest.raises(StartFailed, match=variable) as caught:
        await opened(NatsAccess.of(nats_url, **{argument: file}))

    assert "hunter2" not in str(caught.value)
    assert "NATS at" not in str(caught.value), "NATS was not asked"


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_server_of_a_private_authority_is_trusted_by_its_file(
    nats_server: NatsServer, certificates: Certificates, scheme: str
) -> None:
    url = restarted(nats_server, certificates.config(verify=False)).url.replace("nats://", f"{scheme}://")

    await opened(NatsAccess.of(url, ca=certificates.ca))
    with pytest.raises(BusRefused, match="NATS_CA_FILE"):
        await opened(url)


async def test_a_client_certificate_is_shown_where_it_is_demanded(
    nats_server: NatsServer, certificates: Certificates
) -> None:
    url = restarted(nats_server, certificates.config(verify=True)).url
    shown = {"ca": certificates.ca, "cert": certificates.client, "key": certificates.client_key}

    await opened(NatsAccess.of(url, **shown))
    with pytest.raises(BusRefused, match="NATS_CERT_FILE"):
        await opened(NatsAccess.of(url, ca=certificates.ca))


async def test_a_password_is_not_sent_to_a_server_without_tls(nats_server: NatsServer) -> None:
    restarted(nats_server, 'authorization { user: bob, password: "p" }')

    with pytest.raises(BusRefused, match="offers no TLS"):
        await opened(nats_server.url.replace("nats://", "tls://bob:p@"))


async def test_a_start_without_rights_on_the_jetstream_api_names_the_subject(nats_server: NatsServer) -> None:
    restarted(nats_server, USER.format(publish='["voice.>"]'))
    bus = await Bus.connect(nats_server.url.replace("//", "//bob:p@"), name="test")
    started = time.monotonic()

    with pytest.raises(BusRefused) as caught:
        await bus.ensure(STREAMS, BUCKETS)

    assert "declaring SESSIONS: the user may not publish to $JS.API.STREAM.CREATE.SESSIONS" in str(caught.value)
    assert "permissions" in caught.value.fix
    assert time.monotonic() - started < 5
    await bus.close()


async def test_a_publish_without_rights_names_the_subject(nats_server: NatsServer) -> None:
    restarted(nats_server, USER.format(publish='["$JS.API.>"]'))
    bus = await Bus.connect(nats_server.url.replace("//", "//bob:p@"), name="test")
    await bus.ensure(STREAMS)
    event = requested()

    with pytest.raises(BusUnavailable, match=f"may not publish to {event.subject}"):
        await bus.publish(event, deadline_s=0.5)

    async with asyncio.timeout(5):
        await bus.last(session_log(event.session_id))
    await bus.close()
