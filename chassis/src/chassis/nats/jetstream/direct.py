"""Direct gets of many messages: one request, up to 500 messages in the answer, no consumer.

Any replica may answer, also one that is a moment behind the stream's leader; `read` deals with that.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nats.aio.msg import Msg

from chassis.nats.connection.connection import Connection
from chassis.nats.errors import BusClosed, BusUnavailable

PAGE: Final = 500
_PAGE_BYTES: Final = 8 * 1024 * 1024
_QUIET_S: Final = 1.0  # after so long without a message the page counts as cut short
_END_OF_PAGE: Final = "204"
_NO_MATCH: Final = "404"


@dataclass(frozen=True)
class Raw:
    """One message as a stream returns it."""

    subject: str
    data: bytes
    seq: int
    at: datetime
    headers: dict[str, str]


@dataclass(frozen=True)
class Page:
    """One answer.

    Attributes:
        pending: How many matching messages come after these; None when the answer was cut short.
        up_to: The last sequence that the answering server knew of; 0 if it does not say.
    """

    messages: list[Raw]
    pending: int | None
    up_to: int = 0


async def page(connection: Connection, stream: str, ask: Mapping[str, object]) -> Page:
    """Ask once.

    Raises:
        BusClosed: The connection is closed for good; any other failure gives a page that was cut short.
    """
    found: list[Raw] = []
    ended: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        headers = message.headers or {}
        if "Nats-Subject" in headers:  # only the server's own words come without; "Status" may be a stored header
            found.append(_raw(message))
        elif not ended.done():
            ended.set_result(headers)

    nc = connection.nc
    inbox = nc.new_inbox()
    try:
        async with connection.asking(f"reading {stream}"):
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
    except BusClosed:
        raise
    except BusUnavailable:
        pass
    end = ended.result() if ended.done() else {}
    return Page(found, _pending(end), int(end.get("Nats-UpTo-Sequence", 0)))


def _pending(headers: dict[str, str]) -> int | None:
    """None also for 503: no server has the stream now."""
    if headers.get("Status") == _NO_MATCH:
        return 0
    return int(headers.get("Nats-Num-Pending", 0)) if headers.get("Status") == _END_OF_PAGE else None


def _raw(message: Msg) -> Raw:
    headers = dict(message.headers or {})
    at = datetime.fromisoformat(headers["Nats-Time-Stamp"]).astimezone(UTC)
    return Raw(headers["Nats-Subject"], message.data, int(headers["Nats-Sequence"]), at, headers)
