"""Reading back much at once: the last message of each of many subjects, and which subjects a stream has."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis.nats.errors import BusUnavailable
from chassis.nats.jetstream.read import PAGE, Raw, page

_AGAIN_S: Final = 0.05
_AT_ONCE: Final = 16


async def last_of_each(
    nc: Client, js: JetStreamContext, stream: str, subjects: Sequence[str], *, deadline_s: float, url: str
) -> list[Raw]:
    """The last message of each of these subjects, complete up to the call; without wildcards, 500 in some 15 ms.

    No consumer is made, and the server looks at these subjects only, however long the stream is.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    found: list[Raw] = []
    try:
        async with asyncio.timeout(deadline_s):
            newest = (await js.stream_info(stream)).state.last_seq  # the leader's; a replica may be behind
            for at in range(0, len(subjects), PAGE):
                found += await _some(nc, stream, subjects[at : at + PAGE], newest)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailable(f"reading the last messages of {len(subjects)} subjects", url) from error
    return found


async def _some(nc: Client, stream: str, subjects: Sequence[str], newest: int) -> list[Raw]:
    found: list[Raw] = []
    while True:
        ask: dict[str, object] = {"multi_last": list(subjects)}
        if found:
            ask["seq"] = found[-1].seq + 1  # the page was full of bytes
        answer = await page(nc, stream, ask)
        if answer.pending is None or (answer.up_to < newest and answer.messages):
            await asyncio.sleep(_AGAIN_S)  # cut short, or by a replica that is behind
            continue
        found += answer.messages
        if not answer.pending:
            return found


async def all_of_each(nc: Client, stream: str, newest: Mapping[str, int], *, deadline_s: float, url: str) -> list[Raw]:
    """All messages of each of these subjects, 16 subjects at a time.

    Args:
        newest: Subject, without wildcards -> the sequence of its last message: a replica may have to catch up to it.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(subject: str, last_seq: int) -> list[Raw]:
        found: list[Raw] = []
        async with limit:
            while not found or found[-1].seq < last_seq:
                seq = found[-1].seq + 1 if found else 1
                answer = await page(nc, stream, {"seq": seq, "next_by_subj": subject})
                found += answer.messages
                if not answer.messages:
                    await asyncio.sleep(_AGAIN_S)
        return found

    try:
        async with asyncio.timeout(deadline_s):
            reads = await asyncio.gather(*(one(subject, seq) for subject, seq in newest.items()))
    except TimeoutError as error:
        raise BusUnavailable(f"reading all of {len(newest)} subjects", url) from error
    return [raw for read in reads for raw in read]


async def subjects_of(nc: Client, stream: str, wildcard: str, *, deadline_s: float, url: str) -> set[str]:
    """The subjects that match and have a message, from the stream's index: 100,000 in about half a second.

    Raises:
        BusUnavailable: Not complete by the deadline.
    """
    found: set[str] = set()
    at, total = 0, 1
    try:
        async with asyncio.timeout(deadline_s):
            while at < total:
                ask = json.dumps({"subjects_filter": wildcard, "offset": at}).encode()
                message = await nc.request(f"$JS.API.STREAM.INFO.{stream}", ask, timeout=deadline_s)
                answer: dict[str, Any] = json.loads(message.data)
                if "error" in answer:
                    raise BusUnavailable(f"listing {wildcard} ({answer['error'].get('description')})", url)
                page_of: dict[str, int] = answer["state"].get("subjects") or {}
                if not page_of:
                    break
                found.update(page_of)
                at, total = at + len(page_of), answer.get("total", 0)
    except (nats.errors.Error, TimeoutError) as error:
        raise BusUnavailable(f"listing {wildcard}", url) from error
    return found
