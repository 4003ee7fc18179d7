"""The stream SESSIONS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import nats.errors
from chassis.nats import Bus, BusUnavailable, PublishRefused, SequenceConflict, Stored
from contracts.events import Event, SessionBilled, SessionEnded
from contracts.streams import BILLINGS_PLACE, SESSIONS
from contracts.subjects import DEAD_PREFIX, session_event
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from billing.domain.usage import METERED, LoggedEvent
from billing.ports import Extent, LogUnavailable

FOLLOWED: Final = tuple(session_event(cls.event, "*") for cls in (SessionEnded, *METERED))
"""The end, and the events that change a bill when they arrive after it."""

_CREATED_MEANWHILE: Final = (10012, 10148)
"""NATS' error codes when another replica created the marker first: "start sequence can not be updated", "exists"."""


class NatsSessionLog:
    """`ports.SessionLog` on the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def history(self, session_id: str) -> list[LoggedEvent]:
        try:
            found = await self._bus.history(session_id)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return [_logged(stored.event, stored) for stored in found if isinstance(stored.event, Event)]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        try:
            found = await self._bus.last(session_event(event, session_id))
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return None if found is None else found.seq

    async def announce(self, billed: SessionBilled) -> bool:
        try:
            # The expected sequence refuses a second `billed` after the stream's two minutes of deduplication, too.
            return not (await self._bus.publish(billed, expect_last=0)).duplicate
        except SequenceConflict:
            return False
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error

    async def extent(self) -> Extent:
        try:
            found = await self._bus.js.stream_info(SESSIONS.name)
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(f"no answer about {SESSIONS.name}: {type(error).__name__}") from error
        created = found.created
        log_ms = 0 if created is None else int(created.timestamp() * 1000)
        return Extent(log_ms, found.state.first_seq, found.state.last_seq)

    async def newest(self) -> int:
        try:
            found = await asyncio.gather(*(self._bus.last(subject) for subject in FOLLOWED))
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return max((stored.seq for stored in found if stored is not None), default=0)

    async def follow(self, behind: int) -> AsyncIterator[LoggedEvent]:
        async for stored in self._bus.replay(FOLLOWED, since=behind + 1):
            if isinstance(stored.event, Event):
                yield _logged(stored.event, stored)

    async def show_position(self, seq: int, *, may_go_back: bool) -> None:
        """Show the position as the start of a durable consumer that nothing reads.

        Older versions read by a consumer of this name; while one still does, it keeps its own place. NATS cannot move
        a consumer, so it is deleted and created again, but only when the position differs.
        """
        config = ConsumerConfig(
            name=BILLINGS_PLACE,
            durable_name=BILLINGS_PLACE,
            filter_subjects=list(FOLLOWED),
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=seq + 1,
        )
        try:
            with suppress(NotFoundError):
                found = await self._bus.js.consumer_info(SESSIONS.name, BILLINGS_PLACE)
                begins = found.config.opt_start_seq or 0
                if found.num_waiting or begins == seq + 1 or (begins > seq + 1 and not may_go_back):
                    return
                await self._bus.js.delete_consumer(SESSIONS.name, BILLINGS_PLACE)
            try:
                await self._bus.js.add_consumer(SESSIONS.name, config)  # pyright: ignore[reportUnknownMemberType]
            except APIError as error:
                if error.err_code not in _CREATED_MEANWHILE:
                    raise
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(f"cannot show the position: {type(error).__name__}") from error

    async def shown_position(self) -> int:
        try:
            floor = (await self._bus.js.consumer_info(SESSIONS.name, BILLINGS_PLACE)).ack_floor
        except NotFoundError:
            return 0
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(f"cannot read the shown position: {type(error).__name__}") from error
        return 0 if floor is None else floor.stream_seq

    async def bury(self, cause: LoggedEvent, reason: str) -> None:
        headers = {
            "Nats-Msg-Id": f"{SESSIONS.name}/billing/{cause.seq}/{cause.stored_ms}",
            "dead-reason": reason.encode("ascii", "replace").decode(),
            "dead-consumer": "billing",
            "dead-stream": SESSIONS.name,
            "dead-seq": str(cause.seq),
        }
        subject = f"{DEAD_PREFIX}.{cause.event.subject}"
        try:
            await self._bus.publish_raw(subject, cause.event.model_dump_json().encode(), headers=headers)
        except (BusUnavailable, PublishRefused) as error:
            raise LogUnavailable(str(error)) from error


def _logged(event: Event, stored: Stored) -> LoggedEvent:
    trace = {name: value for name, value in stored.headers.items() if name in ("traceparent", "tracestate")}
    return LoggedEvent(event=event, stored_ms=stored.stored_ms, seq=stored.seq, trace=trace)
