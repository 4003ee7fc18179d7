"""The state folder: persistent data, the lock of the running stack, and its addresses."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.private_file import write_private

_Ports = TypeAdapter(dict[str, Annotated[int, Field(gt=0, lt=65536)]])

LOCK_ATTEMPTS, LOCK_PAUSE_S = 5, 0.05
_LOCK: Final = "lock"
_KEYS: Final = "keys.json"


@dataclass(frozen=True)
class Keys:
    """Created once per state folder, so that tokens and the database stay valid over restarts.

    Attributes:
        nats: Passwords by user.
        redis: Passwords by user.
    """

    livekit_key: str
    livekit_secret: str
    postgres_password: str
    nats: dict[str, str] = field(default_factory=dict[str, str])
    redis: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Run:
    """A running stack, as published to the other commands.

    Attributes:
        pid: Of its supervisor.
        gateway_url: The REST API; empty when the stack has no gateway.
        environment: The variables that the stack chose (addresses, generated keys); never the user's own keys.
    """

    pid: int
    gateway_url: str
    environment: dict[str, str]


class StateFolder:
    """One folder, with at most one running stack."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._run_file = self.path / "run.json"
        self._lock_file = self.path / _LOCK

    @contextmanager
    def locked(self) -> Generator[None]:
        """Lock the folder for one running stack; the kernel releases the lock when the process dies.

        Raises:
            CommandError: Another stack runs in it, or it is not writable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)  # it contains prompts and names
            self.logs.mkdir(exist_ok=True)
            lock = self._lock_file.open("a+")
        except OSError as error:
            raise CommandError(
                f"cannot write to {self.path}: {error.strerror}", "choose another folder with --state"
            ) from None
        with lock:
            self._lock(lock)
            self._run_file.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._run_file.unlink(missing_ok=True)

    def keys(self) -> Keys:
        """The folder's keys; keys that an earlier version did not have are added."""
        from contracts.users import NATS_USERS, REDIS_USERS  # takes 0.2 s, so it is imported here

        file = self.path / _KEYS
        try:
            kept = Keys(**json.loads(file.read_text())) if file.exists() else None
        except (ValueError, TypeError):  # the databases accept only these keys: new ones would lock us out
            raise CommandError(f"{file} is damaged", f"restore it, or remove {self.path} with all its data") from None
        keys = kept or Keys("greenroom", secrets.token_hex(32), secrets.token_hex(16))
        keys = replace(
            keys,
            nats={user.name: keys.nats.get(user.name) or secrets.token_hex(24) for user in NATS_USERS},
            redis={user.name: keys.redis.get(user.name) or secrets.token_hex(24) for user in REDIS_USERS},
        )
        if keys != kept:
            write_private(file, json.dumps(asdict(keys), indent=2))
        return keys

    def account_key(self) -> str:
        """ACCOUNT_KEY of a stack that keeps its bills here; older versions do not read this file."""
        file = self.path / "account.key"
        if not file.exists():
            write_private(file, secrets.token_hex(32))
        return file.read_text().strip()

    def ports(self) -> dict[str, int]:
        """The ports of the last run by name; empty when unreadable, since others will do."""
        try:
            return _Ports.validate_json((self.path / "ports.json").read_bytes())
        except (OSError, ValidationError):
            return {}

    def remember_ports(self, ports: dict[str, int]) -> None:
        write_private(self.path / "ports.json", json.dumps(ports, indent=2))

    def publish(self, run: Run) -> None:
        """Publish the stack's addresses; readers see all or nothing."""
        write_private(self._run_file, json.dumps(asdict(run), indent=2))

    def running(self) -> Run | None:
        """The stack that runs here; None without one, or when its supervisor was killed."""
        try:
            with self._lock_file.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Run(**json.loads(self._run_file.read_text())) if self._run_file.exists() else None
        except OSError:
            pass
        return None

    def _lock(self, lock: IO[str]) -> None:
        for _ in range(LOCK_ATTEMPTS):  # another command that looks at the folder holds the lock briefly
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_S)
                continue
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        problem = f"a stack is already running in {self.path} (pid {holder})"
        raise CommandError(problem, "stop it, or choose another folder with --state")


def supervised_folder(pid: int) -> Path | None:
    """The state folder whose stack this process supervises; None for any other process, and for another user's."""
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError, ValueError):  # closed meanwhile; a lock of another program
                lock = Path(os.readlink(link))
                if lock.name == _LOCK and (lock.parent / _KEYS).exists() and int(lock.read_text()) == pid:
                    return lock.parent
    return None
