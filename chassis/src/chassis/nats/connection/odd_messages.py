"""Makes nats-py deliver two kinds of stored messages that it trips over.

A stored message with a header `Status` ends its fetch, and a subject that is not UTF-8 ends its connection: one such
message would stop every service, also after a restart.
"""

# pyright: reportPrivateUsage=false

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

_FROM_A_STREAM: Final = "$JS.ACK."  # only stored messages come with such a reply subject; the server's own have none

_status_of = JetStreamContext.is_status_msg
_headers_of: Callable[[Client, bytes], Awaitable[dict[str, str] | None]] = Client._process_headers  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def _is_status_msg(_cls: type[JetStreamContext], message: Msg | None) -> str | None:
    if message is None or message.reply.startswith(_FROM_A_STREAM):
        return None
    return _status_of(message)


async def _process_headers(self: Client, headers: bytes) -> dict[str, str] | None:
    try:
        return await _headers_of(self, headers)
    except UnicodeDecodeError:  # a status line that is not valid UTF-8
        return None


def _build_message(
    self: Client, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
) -> Any:
    return self.msg_class(
        subject=subject.decode(errors="replace"),
        reply=reply.decode(errors="replace"),
        data=data,
        headers=headers,
        _client=self,
        _sid=sid,
    )


def hand_on_odd_messages() -> None:
    """Patch nats-py, for every connection of this process."""
    JetStreamContext.is_status_msg = classmethod(_is_status_msg)  # type: ignore[method-assign]
    Client._process_headers = _process_headers  # type: ignore[method-assign]
    Client._build_message = _build_message  # type: ignore[method-assign]
