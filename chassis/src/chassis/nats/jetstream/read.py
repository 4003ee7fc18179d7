"""Reading back: the last message of a subject, a log's messages, the last message of each key.

Every function raises `BusUnavailable` when it is not complete by its deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Final, cast

from chassis.nats.connection.connection import Connection
from chassis.nats.connection.retry import retried
from chassis.nats.errors import NotFound
from chassis.nats.jetstream.direct import PAGE, Raw, page

# For a log, where the messages of one subject lie far apart: a page holds the stream's lock, and so delays every
# publish, until it is complete. For a call's 250 events among 1.5 million others a publish waited 1.1 s with pages of
# 500, 0.3 s with 64 and 0.15 s with 16; the whole reading took as long.
_LOG_PAGE: Final = 32
_MAX_MESSAGES: Final = 100_000  # a session of half an hour has some hundreds
_BEHIND_S: Final = 0.02  # pause while a replica catches up with the leader
_AT_ONCE: Final = 16


async def last(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> Raw | None:
    """The last message of a subject or filter, from the stream's leader: it is never stale."""
    return await _from_leader(connection, stream, subject, None, deadline_s)


async def each(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> list[Raw]:
    """All messages that match a filter, in stream order, from the leader, complete up to the newest one at the call.

    One request each (0.5 ms), 16 at once: each of 16 readers reads one part of the stream. For a user without direct
    gets: docs/decisions/0015-a-user-per-service.md.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s

    async def following(seq: int) -> Raw | None:
        return await _from_leader(connection, stream, subject, seq + 1, max(0.0, until - loop.time()))

    async def part(after: int, up_to: int) -> list[Raw]:
        found: list[Raw] = []
        seq = after
        while seq < up_to and len(found) < _MAX_MESSAGES // _AT_ONCE:
            raw = await following(seq)
            if raw is None or raw.seq > up_to:
                break
            found.append(raw)
            seq = raw.seq
        return found

    first, newest = await asyncio.gather(following(0), last(connection, stream, subject, deadline_s=deadline_s))
    if first is None or newest is None:
        return []
    bounds = [first.seq + (newest.seq - first.seq) * n // _AT_ONCE for n in range(_AT_ONCE + 1)]
    parts = await asyncio.gather(*(part(after, up_to) for after, up_to in pairwise(bounds)))
    return [first, *chain.from_iterable(parts)]


async def _from_leader(
    connection: Connection, stream: str, subject: str, at_least: int | None, deadline_s: float
) -> Raw | None:
    """The first matching message at or after a sequence, or else the last one.

    Retries while the stream is missing: a stream that was lost is declared again, and says nothing about a session.
    """

    async def attempt(left_s: float) -> Raw | None:
        get = connection.js.get_msg(stream, seq=at_least, subject=subject, next=at_least is not None)
        found = await connection.ask(f"reading {subject}", get, left_s)
        if found.seq is None or found.subject is None or found.time is None:
            return None
        headers = cast("dict[str, str]", found.headers or {})  # pyright: ignore[reportUnknownMemberType]
        return Raw(found.subject, found.data or b"", found.seq, found.time, headers)

    try:
        return await retried(attempt, deadline_s=deadline_s, final=(NotFound,))
    except NotFound:
        return None


async def scan(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> list[Raw]:
    """All messages of a log that match a filter, in stream order, complete up to the newest one at the call.

    Pages of direct gets, a few ms. The leader says first what the newest message is, since a replica may be behind.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s
    newest = await last(connection, stream, subject, deadline_s=deadline_s)
    if newest is None:
        return []
    found: list[Raw] = []
    async with connection.asking(f"reading {subject}", until - loop.time()):
        while (found[-1].seq if found else 0) < newest.seq and len(found) < _MAX_MESSAGES:
            ask = {**_after(subject, found[-1].seq if found else 0), "batch": _LOG_PAGE}
            read = (await page(connection, stream, ask)).messages
            found += read
            if read:
                continue
            # The newest message has expired or was replaced, or the replica that answered does not have it yet.
            current = await last(connection, stream, subject, deadline_s=deadline_s)
            if current is None or current.seq != newest.seq:
                return await scan(connection, stream, subject, deadline_s=until - loop.time())
            await asyncio.sleep(_BEHIND_S)
    return found


async def latest(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> list[Raw]:
    """The last message of each subject that matches a filter, of a stream that keeps one of each.

    A write moves its key to the stream's end, so a key that is renewed between two pages is on neither of them. A key
    that was not read yet is always behind the position: therefore the reading goes on until the answering server has
    nothing more. That server may be a replica that is behind the one of an earlier page, and may not know yet that a
    key moved: therefore its page must reach the leader's newest message, asked for after all earlier pages.

    Keys may be renewed without a pause meanwhile; the result does not depend on the time between two requests.
    """
    found: dict[str, Raw] = {}
    position = 0
    newest: Raw | None = None  # no earlier page came from a server that knew a later message
    async with connection.asking(f"reading {subject}", deadline_s):
        while True:
            read = await page(connection, stream, _after(subject, position))
            for raw in read.messages:
                found[raw.subject] = raw
                position = raw.seq
            if read.pending is None:
                newest = None
                await asyncio.sleep(_BEHIND_S)
                continue
            if read.pending:
                newest = None
                continue
            if newest is None or not read.messages:
                newest = await last(connection, stream, subject, deadline_s=deadline_s)
            if newest is None:
                return []
            if newest.seq <= position:
                return sorted(found.values(), key=lambda raw: raw.seq)
            if not read.messages:  # the replica that answered is behind
                await asyncio.sleep(_BEHIND_S)


async def last_of_each(
    connection: Connection, stream: str, within: str, subjects: Sequence[str], *, deadline_s: float
) -> list[Raw]:
    """The last message of each of these subjects (no filters), complete up to the call; 500 in about 15 ms.

    The server looks at these subjects only, however long the stream is.

    Args:
        within: The stream's own filter. With ">" the server finds nothing while the newest message is erased.
    """
    found: list[Raw] = []
    newest_of = partial(last, connection, stream, within, deadline_s=deadline_s)
    async with connection.asking(f"reading the last messages of {len(subjects)} subjects", deadline_s):
        newest = await newest_of()
        for at in range(0, len(subjects), PAGE - 1):
            found += await _some(connection, stream, subjects[at : at + PAGE - 1], newest, newest_of)
    return found


async def _some(
    connection: Connection,
    stream: str,
    subjects: Sequence[str],
    newest: Raw | None,
    newest_of: Callable[[], Awaitable[Raw | None]],
) -> list[Raw]:
    """Ask for the leader's newest message too: a server that finds nothing does not say how far it knows the stream."""
    found: list[Raw] = []
    wanted, position = frozenset(subjects), 0
    while newest is not None:
        answer = await page(connection, stream, {"multi_last": [*subjects, newest.subject], "seq": position + 1})
        if answer.messages and answer.pending is not None and answer.up_to >= newest.seq:
            found += answer.messages
            position = found[-1].seq
            if not answer.pending:  # else the page was full of bytes
                break
            continue
        await asyncio.sleep(_BEHIND_S)  # cut short, or from a replica that is behind
        if not answer.messages:  # or the newest message has expired or was replaced
            newest = await newest_of()
            if newest is None or newest.seq <= position:
                break
    return [raw for raw in found if raw.subject in wanted]


async def all_of_each(
    connection: Connection, stream: str, newest: Mapping[str, int], *, deadline_s: float
) -> list[Raw]:
    """All messages of each of these subjects, 16 subjects at a time.

    Args:
        newest: Subject (no filter) -> the sequence of its last message, which a replica may have to catch up to.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(subject: str, last_seq: int) -> list[Raw]:
        found: list[Raw] = []
        async with limit:
            while not found or found[-1].seq < last_seq:
                answer = await page(connection, stream, _after(subject, found[-1].seq if found else 0))
                found += answer.messages
                if not answer.messages:
                    await asyncio.sleep(_BEHIND_S)
        return found

    async with connection.asking(f"reading all of {len(newest)} subjects", deadline_s):
        reads = await asyncio.gather(*(one(subject, seq) for subject, seq in newest.items()))
    return [raw for read in reads for raw in read]


def _after(subject: str, seq: int) -> dict[str, object]:
    return {"seq": seq + 1, "next_by_subj": subject}
