"""How full a stream is, and how far back it reaches."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.api import Base

from chassis.nats.errors import BusUnavailable, StreamMissing

STREAM_NOT_FOUND = 10059


@dataclass(frozen=True)
class StreamUse:
    """One stream's state, as the server tells it.

    Attributes:
        at: The clock with which the stream's leader stamps messages, at its answer.
        max_bytes: Its bound; 0 for none.
        created: When it was made; another time means another stream of the same name, after a lost store.
        first_seq: Of its oldest message; where it is empty, of the next.
        first_at: When the oldest message was stored; None where it is empty.
    """

    name: str
    at: datetime
    bytes: int
    max_bytes: int
    messages: int
    created: datetime
    first_seq: int
    first_at: datetime | None
    last_seq: int
    consumers: int

    @property
    def used_ratio(self) -> float:
        """The share of its bytes in use, 0 to 1; 0 without a bound."""
        return self.bytes / self.max_bytes if self.max_bytes else 0.0

    @property
    def begins_at(self) -> datetime:
        """Whatever was stored at or after this is still there; of a stream that gave up everything, nothing is."""
        if self.first_seq <= 1:
            return self.created
        return self.first_at or datetime.max.replace(tzinfo=UTC)


async def stream_use(nc: Client, stream: str, *, deadline_s: float, url: str) -> StreamUse:
    """Ask the server for one stream's state; nats-py's own reading of the answer leaves out the oldest message's time.

    Raises:
        StreamMissing: There is no such stream.
        BusUnavailable: No answer by the deadline.
    """
    doing = f"measuring {stream}"
    try:
        async with asyncio.timeout(deadline_s):
            reply = await nc.request(f"$JS.API.STREAM.INFO.{stream}", timeout=deadline_s)
        answer: dict[str, Any] = json.loads(reply.data)
    except (nats.errors.Error, TimeoutError, ValueError) as error:
        raise BusUnavailable(doing, url) from error
    error = answer.get("error")
    if error is not None:
        if error.get("err_code") == STREAM_NOT_FOUND:
            raise StreamMissing(stream, url)
        raise BusUnavailable(f"{doing}: {error.get('description')}", url)
    state, config = answer["state"], answer["config"]
    return StreamUse(
        name=stream,
        at=_time(answer["ts"]),
        bytes=state["bytes"],
        max_bytes=max(0, config.get("max_bytes", 0)),
        messages=state["messages"],
        created=_time(answer["created"]),
        first_seq=state["first_seq"],
        first_at=_time(state["first_ts"]) if state["messages"] else None,
        last_seq=state["last_seq"],
        consumers=state["consumer_count"],
    )


def _time(text: str) -> datetime:
    return Base._parse_utc_iso(text)  # pyright: ignore[reportPrivateUsage]
