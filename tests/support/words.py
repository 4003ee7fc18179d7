"""The words of sessions: for a scheduler in memory, and for a test that reads the log."""

from collections.abc import Iterable
from typing import TypeVar

from chassis.nats import Bus
from chassis.words import new_secret, opened, seal
from contracts.events import Event, SessionRequested
from contracts.streams import KEYS
from scheduler.ports import WordsLost

E = TypeVar("E", bound=Event)


class FakeWords:
    """`scheduler.ports.Words` in memory.

    Attributes:
        secrets: By session; a session without one is in the clear.
        expected: The sessions whose secret was asked for ahead.
        forgotten: Those whose secret may stay in memory no longer.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self._read: dict[str, str] = {}
        self.expected: list[str] = []
        self.forgotten: list[str] = []

    def seal(self, requested: SessionRequested) -> SessionRequested:
        """Seal a request with a new secret, as the gateway does."""
        return seal(requested, self.secrets.setdefault(requested.session_id, new_secret()))

    def expect(self, requested: SessionRequested) -> None:
        self.expected.append(requested.session_id)

    async def open(self, requested: SessionRequested) -> tuple[SessionRequested, str]:
        if not requested.sealed:
            return requested, ""
        secret = self.secrets.get(requested.session_id, "")
        found = opened(requested, secret)
        if found.sealed:
            raise WordsLost("no key opens them")
        self._read[requested.session_id] = secret
        return found, secret

    def lose(self, session_id: str) -> None:
        """NATS lost its store."""
        self.secrets.pop(session_id, None)

    def ended(self, session_id: str) -> None:
        self.forgotten.append(session_id)
        self._read.pop(session_id, None)

    async def write_again(self, requested: SessionRequested, secret: str) -> SessionRequested:
        secret = secret or self._read.get(requested.session_id, "")
        if secret:
            self.secrets.setdefault(requested.session_id, secret)
        return seal(requested, secret)


async def with_their_words(bus: Bus, events: Iterable[E]) -> list[E]:
    """Events of the log, opened with the keys in the bucket."""
    keys = {key: entry.value for key, entry in (await bus.bucket(KEYS).all()).items()}
    secrets = {key: value.secret for key, value in keys.items() if value is not None}
    return [opened(event, secrets.get(event.session_id)) for event in events]
