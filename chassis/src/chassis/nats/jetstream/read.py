"""Reading back: the last message of a subject, a log's messages, and the last message of each key."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Base
from nats.js.errors import NotFoundError

from chassis.nats.errors import BusUnavailable
from chassis.nats.jetstream.stream_use import STREAM_NOT_FOUND

PAGE: Final = 500
# Of a log, where the messages of one subject lie far apart: a page holds the stream's lock, and so every publish, until
# it is complete. For a call's 250 events among 1.5 million others a publish waited 1.1 s with pages of 500, 0.3 s with
# 64 and 0.15 s with 16; the whole reading took as long.
_LOG_PAGE: Final = 32
_PAGE_BYTES: Final = 8 * 1024 * 1024
_MAX_MESSAGES: Final = 100_000  # a session of half an hour has some hundreds
_BEHIND_S: Final = 0.02  # a replica that has not got the newest message yet
_QUIET_S: Final = 1.0  # without a message for so long, the page is asked for again
_END_OF_PAGE: Final = "204"
_NOTHING: Final = "404"


@dataclass(frozen=True)
class Raw:
    """One message as a stream gives it back."""

    subject: str
    data: bytes
    seq: int
    at: datetime
    headers: dict[str, str]


async def last(js: JetStreamContext, stream: str, subject: str, *, deadline_s: float, url: str) -> Raw | None:
    """The last message of a subject or filter, from the stream's leader, so that it is never an old one.

    Raises:
        BusUnavailable: No answer by the deadline.
    """
    return await _from_leader(js, stream, subject, None, deadline_s=deadline_s, url=url)


async def each(js: JetStreamContext, stream: str, subject: str, *, deadline_s: float, url: str) -> list[Raw]:
    """All messages that match a filter, in stream order, from the leader, one request each (0.5 ms).

    For a user without direct gets, whose answers are stored bytes: docs/decisions/0015-a-user-per-service.md.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    until = asyncio.get_running_loop().time() + deadline_s
    found: list[Raw] = []
    while len(found) < _MAX_MESSAGES:
        left = until - asyncio.get_running_loop().time()
        following = found[-1].seq + 1 if found else 1
        raw = await _from_leader(js, stream, subject, following, deadline_s=max(0.0, left), url=url)
        if raw is None:
            break
        found.append(raw)
    return found


async def _from_leader(
    js: JetStreamContext, stream: str, subject: str, at_least: int | None, *, deadline_s: float, url: str
) -> Raw | None:
    """The first matching message at or after a sequence; without one, the last."""
    is_next = at_least is not None
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    found = await js.get_msg(stream, seq=at_least, subject=subject, next=is_next)
                    break
                except NotFoundError as error:
                    if error.err_code != STREAM_NOT_FOUND:
                        return None
                    # A stream that was lost holds nothing against a session: it will be made again.
                    await asyncio.sleep(0.1)
                except nats.errors.ConnectionClosedError:
                    raise
                except nats.errors.Error:
                    await asyncio.sleep(0.1)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailable(f"reading {subject}", url) from error
    if found.seq is None or found.subject is None or found.time is None:
        return None
    headers = cast("dict[str, str]", found.headers or {})  # pyright: ignore[reportUnknownMemberType]
    return Raw(found.subject, found.data or b"", found.seq, found.time, headers)


async def scan(
    nc: Client, js: JetStreamContext, stream: str, subject: str, *, deadline_s: float, url: str
) -> list[Raw]:
    """All messages of a log that match a filter, in stream order, complete up to the newest at the time of the call.

    Pages of direct gets: no consumer is made, so it costs a few ms. A replica may answer that is a moment behind the
    leader; therefore the leader is asked first what the newest is.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s
    newest = await last(js, stream, subject, deadline_s=deadline_s, url=url)
    if newest is None:
        return []
    found: list[Raw] = []
    try:
        async with asyncio.timeout_at(until):
            while (found[-1].seq if found else 0) < newest.seq and len(found) < _MAX_MESSAGES:
                ask = {**_after(subject, found[-1].seq if found else 0), "batch": _LOG_PAGE}
                read = (await page(nc, stream, ask)).messages
                found += read
                if read:
                    continue
                # Gone meanwhile (expired, replaced), or not yet at the replica that answered.
                current = await last(js, stream, subject, deadline_s=deadline_s, url=url)
                if current is None or current.seq != newest.seq:
                    return await scan(nc, js, stream, subject, deadline_s=until - loop.time(), url=url)
                await asyncio.sleep(_BEHIND_S)
    except TimeoutError as error:
        raise BusUnavailable(f"reading {subject}", url) from error
    return found


async def latest(
    nc: Client, js: JetStreamContext, stream: str, subject: str, *, deadline_s: float, url: str
) -> list[Raw]:
    """The last message of each subject that matches a filter, of a stream that keeps one of each.

    A write moves its key to the stream's end, so a key that is renewed between two pages is on neither of them. A key
    that was not read yet is always behind the position: therefore the reading goes on until the server that answers has
    nothing more. That server may be a replica that is behind the one of an earlier page, and may not know yet that a
    key moved: therefore its page must reach the leader's newest message, asked for after all pages before it.

    Keys may be renewed without a pause meanwhile: nothing is required of the time between two requests.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    found: dict[str, Raw] = {}
    position = 0
    newest: Raw | None = None  # no page before the present one came from a server that knew a later message
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                read = await page(nc, stream, _after(subject, position))
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
                    newest = await last(js, stream, subject, deadline_s=deadline_s, url=url)
                if newest is None:
                    return []
                if newest.seq <= position:
                    return sorted(found.values(), key=lambda raw: raw.seq)
                if not read.messages:  # the replica that answered is behind
                    await asyncio.sleep(_BEHIND_S)
    except TimeoutError as error:
        raise BusUnavailable(f"reading {subject}", url) from error


@dataclass(frozen=True)
class Page:
    """One answer to a direct get of many.

    Attributes:
        pending: Messages that match and come after these; None when the answer was cut short.
        up_to: The last sequence that the server which answered knew of; 0 where it does not say.
    """

    messages: list[Raw]
    pending: int | None
    up_to: int = 0


async def page(nc: Client, stream: str, ask: Mapping[str, object]) -> Page:
    """Ask once; the answer holds PAGE messages at most."""
    found: list[Raw] = []
    ended: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        if "Nats-Subject" in headers:  # a stored message may have a header "Status", too
            found.append(_raw(message))
        elif not ended.done():
            ended.set_result(headers)

    inbox = nc.new_inbox()
    try:
        sub = await nc.subscribe(inbox, cb=take, pending_msgs_limit=PAGE + 8)  # pyright: ignore[reportUnknownMemberType]
        try:
            bounded = {"batch": PAGE, "max_bytes": _PAGE_BYTES, **ask}
            await nc.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(bounded).encode(), reply=inbox)
            heard = -1
            while not ended.done() and heard < len(found):
                heard = len(found)
                await asyncio.wait({ended}, timeout=_QUIET_S)
        finally:
            await sub.unsubscribe()
    except nats.errors.ConnectionClosedError:
        raise TimeoutError from None
    except nats.errors.Error:
        pass  # the answer is incomplete
    end = ended.result() if ended.done() else {}
    return Page(found, _pending(end), int(end.get("Nats-UpTo-Sequence", 0)))


def _after(subject: str, seq: int) -> dict[str, object]:
    return {"seq": seq + 1, "next_by_subj": subject}


def _pending(headers: dict[str, str]) -> int | None:
    """What the end of a page says: how much is left; None where no server has the stream now (503)."""
    if headers.get("Status") == _NOTHING:
        return 0
    return int(headers.get("Nats-Num-Pending", 0)) if headers.get("Status") == _END_OF_PAGE else None


def _raw(message: Msg) -> Raw:
    headers = dict(message.headers or {})
    at = Base._parse_utc_iso(headers["Nats-Time-Stamp"])  # pyright: ignore[reportPrivateUsage]
    return Raw(headers["Nats-Subject"], message.data, int(headers["Nats-Sequence"]), at, headers)
