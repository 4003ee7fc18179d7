"""A reader's position in a stream, where others can see it: a durable consumer that is never read.

With it a service that keeps its position in a database shows the stream's backlog to others.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.nats.connection.connection import Connection
from chassis.nats.errors import ApiError, NotFound

_MADE_MEANWHILE: Final = (10012, 10148)  # by another replica: its start cannot be updated, or it exists


@dataclass(frozen=True)
class StreamPosition:
    """Where a durable consumer stands.

    Attributes:
        seq: Everything up to this sequence is dealt with.
        waiting: Messages after it that match.
        begins: The sequence that the consumer was made to begin at; 0 for the stream's oldest.
        is_read: A process reads by this consumer.
    """

    seq: int
    waiting: int
    begins: int
    is_read: bool


async def position_of(connection: Connection, stream: str, durable: str) -> StreamPosition | None:
    """The position; None when the consumer does not exist, as for a moment while it is moved.

    Raises:
        BusUnavailable: No answer within 2 s.
    """
    try:
        info = await connection.ask(f"reading the position of {durable}", connection.js.consumer_info(stream, durable))
    except NotFound:
        return None
    return StreamPosition(
        seq=info.ack_floor.stream_seq if info.ack_floor is not None else 0,
        waiting=(info.num_pending or 0) + (info.num_ack_pending or 0),
        begins=info.config.opt_start_seq or 0,
        is_read=bool(info.num_waiting),
    )


async def show_position(
    connection: Connection, stream: str, durable: str, filters: Sequence[str], seq: int, *, may_go_back: bool
) -> None:
    """Make the consumer begin after `seq`, unless a process reads by it.

    A consumer cannot be moved, only deleted and made again, so one that is as far already stays.

    Raises:
        BusUnavailable: Not done; each request has 2 s.
    """
    js = connection.js
    doing = f"showing the position of {durable}"
    position = await position_of(connection, stream, durable)
    if position is not None:
        if position.is_read or position.begins == seq + 1 or (position.begins > seq + 1 and not may_go_back):
            return
        with suppress(NotFound):
            await connection.ask(doing, js.delete_consumer(stream, durable))
    config = ConsumerConfig(
        name=durable,
        durable_name=durable,
        filter_subjects=list(filters),
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=seq + 1,
    )
    try:
        await connection.ask(doing, js.add_consumer(stream, config))  # pyright: ignore[reportUnknownMemberType]
    except ApiError as error:
        if error.err_code not in _MADE_MEANWHILE:
            raise
