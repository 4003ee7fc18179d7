"""DATABASE_URL as hosts of PostgreSQL hand it out, on a real PostgreSQL, with TLS in front of it where it is needed."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import trustme
from sqlalchemy import text

from billing.adapters.database import Database
from billing.database_url import read_database_url
from billing.ports import LedgerUnavailable

ANOTHER_AUTHORITYS_CRL = """\
-----BEGIN X509 CRL-----
MIGbMEMCAQEwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHYW5vdGhlchcNMjYwMTAx
MDAwMDAwWhgPMjA5OTAxMDEwMDAwMDBaMAoGCCqGSM49BAMCA0gAMEUCIQCIYZu/
PBHCZi1/CWSJGpM3mYGk+22aWTyy3H38xi0xZwIgPTA4vy9eU9q3gcP2DKgL1QWW
HnfSP75Qm9sfgoN4WWY=
-----END X509 CRL-----
"""
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_port(postgres_url: str, authority: trustme.CA) -> AsyncIterator[int]:
    """A port with the TLS that the test's PostgreSQL is built without."""
    folder = urlsplit(postgres_url).query.removeprefix("host=")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST
            writer.write(b"S")
            await writer.start_tls(context)
            back, forth = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
            await asyncio.gather(_carry(reader, forth), _carry(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def said(url: str, statement: str) -> str:
    database = Database(read_database_url(url))
    try:
        async with database.reading() as connection:
            return str((await connection.execute(text(statement))).scalar())
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("parameter", "statement", "answer"),
    [
        ("application_name=ledger", "SHOW application_name", "ledger"),
        ("connect_timeout=10", "SHOW application_name", "greenroom-billing"),
        (f"options={quote('-c statement_timeout=1234')}", "SHOW statement_timeout", "1234ms"),
        ("sslmode=prefer&channel_binding=prefer", "SELECT 1", "1"),
        ("target_session_attrs=read-write", "SELECT 1", "1"),
        ("statement_cache_size=0&prepared_statement_cache_size=0", "SELECT 1", "1"),
    ],
)
async def test_a_parameter_works(postgres_url: str, parameter: str, statement: str, answer: str) -> None:
    assert await said(f"{postgres_url}&{parameter}", statement) == answer


@pytest.mark.parametrize("parameters", ["sslmode=verify-full", "sslmode=require&channel_binding=require"])
async def test_a_server_is_checked_by_its_authority(
    postgres_url: str, tls_port: int, authority: trustme.CA, tmp_path: Path, parameters: str
) -> None:
    ca, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(ca)
    trustme.CA().cert_pem.write_to_path(other)
    url = f"postgresql://postgres:hunter2@127.0.0.1:{tls_port}{urlsplit(postgres_url).path}?{parameters}"

    assert await said(f"{url}&sslrootcert={ca}", "SELECT 1") == "1"
    for trusted in (other, "system"):
        with pytest.raises(LedgerUnavailable, match="certificate verify failed") as caught:
            await said(f"{url}&sslrootcert={trusted}", "SELECT 1")
        assert "hunter2" not in caught.value.reason


async def test_who_requires_channel_binding_gets_a_checked_certificate(postgres_url: str, tls_port: int) -> None:
    url = f"postgresql://postgres@127.0.0.1:{tls_port}{urlsplit(postgres_url).path}"

    assert await said(f"{url}?sslmode=require", "SELECT 1") == "1", "TLS, to anybody"
    with pytest.raises(LedgerUnavailable, match="certificate verify failed"):
        await said(f"{url}?sslmode=require&channel_binding=require", "SELECT 1")


async def test_with_the_systems_authorities_the_other_parameters_hold_too(
    postgres_url: str, tls_port: int, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` names the system's authorities to OpenSSL."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    (tmp_path / "crl.pem").write_text(ANOTHER_AUTHORITYS_CRL)
    database = f"postgresql://postgres@127.0.0.1:{tls_port}{urlsplit(postgres_url).path}"

    for url in (f"{database}?sslrootcert=system", f"{database}?sslmode=require&channel_binding=require"):
        assert await said(f"{url}&ssl_max_protocol_version=TLSv1.2&target_session_attrs=primary", "SELECT 1") == "1"
        for parameter, reason in (
            ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "(?i)protocol|version|TLS"),
            (f"sslcrl={tmp_path / 'crl.pem'}", "unable to get certificate CRL"),
            ("target_session_attrs=standby", "session|standby|attribute"),
        ):
            with pytest.raises(LedgerUnavailable, match=reason):
                await said(f"{url}&{parameter}", "SELECT 1")
