"""The last messages of some subjects, from replicas that are behind the stream's leader."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chassis.nats.jetstream import read
from chassis.nats.jetstream.direct import Page, Raw

MOST_REQUESTS = 50


def raw(subject: str, seq: int) -> Raw:
    return Raw(subject, b"", seq, datetime(2026, 1, 1, tzinfo=UTC), {})


class Replicas:
    """The leader has a message of each of these subjects; request by request another replica answers.

    Attributes:
        known: How many of them that replica has; the last one answers all further requests.
    """

    def __init__(self, written: tuple[str, ...], known: tuple[int, ...]) -> None:
        self.written = written
        self.known = known
        self.requests = 0

    async def page(self, _connection: object, _stream: str, ask: Mapping[str, object]) -> Page:
        known = self.known[min(self.requests, len(self.known) - 1)]
        self.requests += 1
        assert self.requests < MOST_REQUESTS, "the reading does not end"
        asked, seq = cast("list[str]", ask["multi_last"]), cast("int", ask.get("seq", 1))
        found = [raw(subject, n) for n, subject in enumerate(self.written[:known], 1) if subject in asked and n >= seq]
        return Page(found, 0, known if found else 0)  # "no such message" comes without a sequence

    async def last(self, *_: object, **__: object) -> Raw | None:
        return raw(self.written[-1], len(self.written)) if self.written else None


@pytest.mark.parametrize(
    ("written", "known", "asked", "expected"),
    [
        (("a", "b"), (1, 0, 2), ["b"], ["b"]),
        (("a", "b"), (0, 1, 2), ["b", "c"], ["b"]),
        (("a", "b"), (1, 2), ["a", "b"], ["a", "b"]),
        (("a", "b"), (0, 2), ["c"], []),
        (("a", "b"), (2,), ["c"], []),
        ((), (0,), ["a"], []),
    ],
)
async def test_a_replica_that_is_behind_is_not_believed_that_a_message_does_not_exist(
    written: tuple[str, ...],
    known: tuple[int, ...],
    asked: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Replicas(written, known)
    monkeypatch.setattr(read, "page", stream.page)
    monkeypatch.setattr(read, "last", stream.last)
    monkeypatch.setattr(read, "_BEHIND_S", 0)
    connection: Any = SimpleNamespace(asking=lambda *_: nullcontext())

    found = await read.last_of_each(connection, "KV_keys", "*", asked, deadline_s=60)

    assert [message.subject for message in found] == expected
