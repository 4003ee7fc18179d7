"""Publishing: the same id again until JetStream has said yes, or until the deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast
from uuid import uuid4

import nats.errors
from contracts.streams import DEAD, SESSIONS
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from chassis import logs, metrics
from chassis.nats.errors import BusUnavailable, PublishRefused, SequenceConflict, StreamFull
from chassis.nats.jetstream.messages import EXPECT_LAST, MSG_ID, Published
from chassis.nats.jetstream.stream_use import STREAM_NOT_FOUND

_WRONG_LAST: Final = (10071, 10164)
_FULL: Final = "maximum bytes exceeded"  # the code, 10077, is that of every failure to store
_ATTEMPT_S: Final = 2.0
_RETRY_S: Final = 0.1
_AGAIN: Final = "#"  # between an id that was taken and what makes it another
# Streams in which several services publish under ids that the others can compute.
_SHARED: Final = (SESSIONS.name, DEAD.name)

_IDS_TAKEN: Final = metrics.counter(
    "bus_message_ids_taken_total", "Events whose message id another subject's message had", ("stream",)
)

log = logs.get_logger(__name__)


async def publish(
    js: JetStreamContext,
    subject: str,
    data: bytes,
    *,
    stream: str,
    headers: dict[str, str],
    expect_last: int | None,
    deadline_s: float,
    url: str,
    no_stream: Callable[[], None],
) -> Published:
    """Publish once, however often it has to be sent.

    Args:
        headers: With `Nats-Msg-Id`, by which a repetition is known.
        expect_last: The sequence that the subject's last message must have, 0 for none; None does not ask.
        no_stream: Called each time that no stream answers: it was lost, or has no leader now.

    Raises:
        SequenceConflict: The subject's last message is another one, and not this very message.
        PublishRefused: The stream does not take it.
        StreamFull: It has no room left, and discards nothing for it.
        BusUnavailable: No answer by the deadline.
    """
    own_id = headers[MSG_ID]
    if expect_last is not None:
        headers = headers | {EXPECT_LAST: str(expect_last)}
    until = time.monotonic() + deadline_s
    while True:
        left = until - time.monotonic()
        try:
            ack = await js.publish(
                subject, data, timeout=max(0.01, min(_ATTEMPT_S, left)), stream=stream, headers=dict(headers)
            )
            if not ack.duplicate:
                return Published(ack.seq, duplicate=False)
            known = await _known(js, subject, stream, own_id, ack.seq, max(0.05, until - time.monotonic()))
            if known is not None:
                return known
            headers = headers | {MSG_ID: f"{own_id}{_AGAIN}{uuid4()}"}
            continue
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.errors.BadHeaderError) as error:
            raise PublishRefused(subject, str(error)) from error
        except APIError as error:
            if error.err_code in _WRONG_LAST:
                try:
                    return await _own_or_conflict(js, subject, stream, own_id, max(0.05, left))
                except (nats.errors.Error, TimeoutError) as unread:
                    failure: Exception = unread
            elif _FULL in (error.description or ""):
                raise StreamFull(f"publishing to {subject}: {error.description}", url) from error
            elif (error.code or 500) < 500:
                raise PublishRefused(subject, error.description or str(error)) from error
            else:
                failure = error
        except nats.errors.ConnectionClosedError as error:
            raise BusUnavailable(f"publishing to {subject}: {error}", url) from error
        except NoStreamResponseError as error:
            no_stream()
            failure = error
        except (TimeoutError, nats.errors.Error, ValueError) as error:
            failure = error  # ValueError: an answer that is no JSON, from somebody else who listens on the subject
        if time.monotonic() + _RETRY_S >= until:
            raise BusUnavailable(f"publishing to {subject}: {failure}", url) from failure
        await asyncio.sleep(_RETRY_S)


async def _known(
    js: JetStreamContext, subject: str, stream: str, own_id: str, seq: int, deadline_s: float
) -> Published | None:
    """The message that made ours a repetition; None when that one is of another subject and ours is not stored.

    A stream remembers ids for all its subjects together, so a service that may publish any of them could suppress an
    event whose id it can compute.
    """
    if stream not in _SHARED:
        return Published(seq, duplicate=True)
    try:
        async with asyncio.timeout(deadline_s):
            holder = await js.get_msg(stream, seq)
            if holder.subject == subject:
                return Published(seq, duplicate=True)
            _IDS_TAKEN.labels(stream).inc()
            log.error("bus.message_id_taken", subject=subject, holder=holder.subject, seq=seq)
            return await _own_or_conflict(js, subject, stream, own_id, deadline_s)
    except NotFoundError:  # gone meanwhile
        return Published(seq, duplicate=True)
    except SequenceConflict:
        return None


async def _own_or_conflict(
    js: JetStreamContext, subject: str, stream: str, own_id: str, deadline_s: float
) -> Published:
    """The sequence is checked before the id, so a repetition after a lost acknowledgement looks like a conflict."""
    try:
        async with asyncio.timeout(deadline_s):
            last = await js.get_last_msg(stream, subject)
    except NotFoundError as error:
        if error.err_code == STREAM_NOT_FOUND:
            raise
        raise SequenceConflict(subject, 0, None) from None
    last_id = cast("dict[str, str]", last.headers or {}).get(MSG_ID)  # pyright: ignore[reportUnknownMemberType]
    if last_id is not None and last_id.partition(_AGAIN)[0] == own_id:
        return Published(last.seq or 0, duplicate=True)
    raise SequenceConflict(subject, last.seq or 0, last_id and last_id.partition(_AGAIN)[0])
