"""Durable consumers: in order per session, bounded redelivery, dead letters, never deaf."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import nats.errors
from contracts.events import Event, RoomEvent
from contracts.streams import SESSIONS, StreamSpec
from contracts.subjects import DEAD_PREFIX
from faststream import AckPolicy
from faststream.nats import JStream, PullSub
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as ServerAckPolicy
from nats.js.api import ConsumerConfig
from opentelemetry.trace import SpanKind

from chassis import logs, metrics, telemetry
from chassis.nats.connection.connection import inbox_prefix
from chassis.nats.errors import BusUnavailable, PublishRefused, Rejected, RetryLater
from chassis.nats.jetstream.declare import changed
from chassis.nats.jetstream.jetstream import JetStream
from chassis.nats.jetstream.messages import MSG_ID, Stored, ascii_header, stored
from chassis.nats.messaging.guard import guard
from chassis.nats.messaging.locks import KeyedLocks

Handler = Callable[[Any, Stored], Awaitable[None]]

BACKOFF_S: Final = (0.5, 2.0, 5.0, 15.0)  # between the deliveries of a message whose handler has a bug
_FETCH_S: Final = 2.0
_HAND_BACK_S: Final = _FETCH_S  # by then the fetch under way here has ended, and somebody else gets the message
_MISSED_FETCHES: Final = 3
_BUS_AWAY_S: Final = 1.0
_DECLARE_S: Final = 10.0
_DEAD_DEADLINE_S: Final = 10.0
_NOT_DEAD_YET_S: Final = 5.0  # the dead letters could not be written: keep the message and try again

_HANDLED: Final = metrics.counter("bus_messages_total", "Messages handled", ("consumer", "event", "outcome"))
_SECONDS: Final = metrics.histogram("bus_handler_seconds", "Time in the handler", ("consumer", "event"))

log = logs.get_logger(__name__)


def session_id(event: Event | RoomEvent) -> str:
    """The default key: messages of one session are handled one after the other."""
    return event.session_id


class Consumer:
    """One durable consumer of this process; replicas with the same durable share the messages.

    Made by `consumer`; `start` declares it and begins, `stop` lets handlers finish and acknowledge.
    """

    def __init__(
        self,
        bus: JetStream,
        durable: str,
        subjects: Sequence[str],
        handler: Handler,
        *,
        stream: str,
        max_deliver: int,
        ack_wait_s: float,
        concurrency: int,
        key: Callable[[Event | RoomEvent], str],
        handler_timeout_s: float,
        retry_for_s: float,
    ) -> None:
        self.durable = durable
        self._bus = bus
        self._subjects = list(subjects)
        self._handler = handler
        self._stream = stream
        self._max_deliver = max_deliver
        self._ack_wait_s = ack_wait_s
        self._concurrency = concurrency
        self._key = key
        self._handler_timeout_s = handler_timeout_s
        self._retry_for_s = retry_for_s
        self._locks = KeyedLocks()
        self._stopping = asyncio.Event()
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._progress = time.monotonic()
        self._started = False
        self._subscriber = bus.connection.broker.subscriber(
            "",
            durable=durable,
            config=self._config(),
            stream=JStream(stream, declare=False),  # declared elsewhere; True would reset its configuration
            pull_sub=PullSub(batch_size=1, timeout=_FETCH_S),
            max_workers=max(2, concurrency),
            inbox_prefix=f"{inbox_prefix(bus.name)}.".encode(),
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
            no_reply=True,
        )
        self._subscriber(self._receive)

    async def start(self) -> None:
        """Declare the durable, and begin.

        Raises:
            BusUnavailable: NATS did not take the declaration in 10 s.
            BusRefused: It never will, such as for a stream that is not there.
        """
        await changed(
            self._bus.connection, f"declaring the consumer {self.durable}", self._declare, deadline_s=_DECLARE_S
        )
        self._progress = time.monotonic()
        await self._subscriber.start()
        guard(self._subscriber.subscription, self._repair, self._progressed, self._stopping)
        self._started = True
        self._bus.checks[f"consumer {self.durable}"] = self._check

    async def stop(self) -> None:
        """Take no more messages; those in hand are finished and acknowledged, within the bus's graceful timeout."""
        self._stopping.set()
        self._bus.checks.pop(f"consumer {self.durable}", None)
        if not self._started:
            return
        self._started = False
        try:
            async with asyncio.timeout(self._bus.connection.graceful_timeout_s):
                await self._idle.wait()
            await asyncio.sleep(0)  # those that waited for a free worker hand their messages back
        except TimeoutError:
            log.error("consumer.stop_too_slow", consumer=self.durable, in_hand=self._in_hand)
        try:
            await self._subscriber.stop()
        except nats.errors.Error as error:
            log.warning("consumer.stop_failed", consumer=self.durable, error=error)

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            name=self.durable,
            durable_name=self.durable,
            filter_subjects=self._subjects,
            ack_policy=ServerAckPolicy.EXPLICIT,
            ack_wait=self._ack_wait_s,
            # The bound is ours: were it the server's, a message whose dead letter could not be written would be stuck.
            max_deliver=-1,
            max_ack_pending=4 * self._concurrency,
        )

    async def _declare(self) -> None:
        declared = self._bus.js.add_consumer(self._stream, self._config())  # pyright: ignore[reportUnknownMemberType]
        await self._bus.connection.ask(f"declaring the consumer {self.durable}", declared)

    async def _repair(self) -> None:
        log.error("consumer.vanished", consumer=self.durable, stream=self._stream)
        try:
            await self._bus.redeclare()
            await self._declare()
        except Exception as error:  # the guard comes back here as long as it is gone
            log.warning("consumer.repair_failed", consumer=self.durable, error=error)

    def _progressed(self) -> None:
        self._progress = time.monotonic()

    async def _check(self) -> str | None:
        silent_s = time.monotonic() - self._progress
        return f"no message and no answer for {silent_s:.0f} s" if silent_s > _MISSED_FETCHES * _FETCH_S else None

    async def _receive(self, message: Any) -> None:
        """One delivery: never raises, always settles the message."""
        raw: Msg = message.raw_message
        self._in_hand += 1
        self._idle.clear()
        try:
            if self._stopping.is_set():
                await raw.nak(delay=_HAND_BACK_S)
            else:
                await self._settle(raw)
        except (nats.errors.Error, TimeoutError) as error:
            # The acknowledgement did not reach the server: it will deliver again.
            log.warning("consumer.not_settled", consumer=self.durable, error=error)
        except Exception:  # a bug beside the handler, such as in `key`; FastStream would swallow it
            log.exception("consumer.bug", consumer=self.durable, subject=raw.subject)
        finally:
            self._progressed()
            self._in_hand -= 1
            if self._in_hand == 0:
                self._idle.set()

    async def _settle(self, raw: Msg) -> None:
        metadata = raw.metadata
        meta = stored(
            raw.subject,
            raw.data,
            seq=metadata.sequence.stream,
            at=metadata.timestamp,
            headers=raw.headers,
            deliveries=metadata.num_delivered,
            pending=metadata.num_pending,
        )
        event = meta.event
        if event is None:
            await self._bury_unreadable(raw, meta)
            return
        if meta.deliveries > self._max_deliver:  # earlier deliveries ended with the process, not with an answer
            await self._bury(raw, meta, event.event, f"given up after {self._max_deliver} deliveries")
            return
        async with self._beating(raw), self._locks.held(self._key(event)):
            with (
                logs.bind_session(event.session_id),
                telemetry.span(
                    f"{self.durable} {event.event}",
                    SpanKind.CONSUMER,
                    parent=telemetry.extract(raw.headers),
                    attributes={"messaging.system": "nats", "messaging.destination.name": raw.subject},
                ),
            ):
                await self._handle(raw, event, meta)

    async def _handle(self, raw: Msg, event: Event | RoomEvent, meta: Stored) -> None:
        started = time.monotonic()
        while True:
            try:
                with _SECONDS.labels(self.durable, event.event).time():
                    async with asyncio.timeout(self._handler_timeout_s):
                        await self._handler(event, meta)
                await raw.ack()
                _HANDLED.labels(self.durable, event.event, "handled").inc()
                return
            except Rejected as rejected:
                await self._bury(raw, meta, event.event, rejected.reason)
                return
            except (RetryLater, BusUnavailable) as later:
                delay_s = later.delay_s if isinstance(later, RetryLater) else _BUS_AWAY_S
                log.warning("consumer.retry_later", consumer=self.durable, subject=raw.subject, reason=str(later))
                _HANDLED.labels(self.durable, event.event, "retried").inc()
                # Kept in hand rather than sent back: the session's later messages stay behind it, and what is
                # counted towards the dead letters are bugs and deaths of the process, not somebody's outage.
                if await self._paused(delay_s) and time.monotonic() - started < self._retry_for_s:
                    continue
                await raw.nak(delay=_HAND_BACK_S if self._stopping.is_set() else delay_s)
                return
            except nats.errors.Error as error:  # the acknowledgement
                log.warning("consumer.not_settled", consumer=self.durable, error=error)
                return
            except Exception as error:
                log.exception("consumer.bug", consumer=self.durable, subject=raw.subject, delivery=meta.deliveries)
                if meta.deliveries >= self._max_deliver:
                    await self._bury(raw, meta, event.event, f"{type(error).__name__}: {error}")
                    return
                _HANDLED.labels(self.durable, event.event, "failed").inc()
                await raw.nak(delay=BACKOFF_S[min(meta.deliveries, len(BACKOFF_S)) - 1])
                return

    async def _paused(self, delay_s: float) -> bool:
        """Wait; False when the consumer stops meanwhile."""
        try:
            async with asyncio.timeout(max(0.01, delay_s)):
                await self._stopping.wait()
            return False
        except TimeoutError:
            return True

    async def _bury_unreadable(self, raw: Msg, meta: Stored) -> None:
        try:
            async with self._beating(raw):
                await self._bus.unreadable.bury(meta)
        except (BusUnavailable, PublishRefused) as error:
            log.error("consumer.dead_letter_failed", consumer=self.durable, seq=meta.seq, error=error)
            await raw.nak(delay=_NOT_DEAD_YET_S)
            return
        await raw.term()
        _HANDLED.labels(self.durable, "unknown", "dead").inc()

    async def _bury(self, raw: Msg, meta: Stored, event: str, reason: str) -> None:
        log.error("consumer.dead_letter", consumer=self.durable, subject=raw.subject, seq=meta.seq, reason=reason)
        # Nats-* headers are instructions to the server: copied, they would make it refuse the message.
        headers = {k: v for k, v in meta.headers.items() if not k.lower().startswith("nats-")}
        headers |= {
            MSG_ID: f"{self._stream}/{self.durable}/{meta.seq}",
            "dead-reason": ascii_header(reason),
            "dead-consumer": self.durable,
            "dead-stream": self._stream,
            "dead-seq": str(meta.seq),
            "dead-deliveries": str(meta.deliveries),
        }
        try:
            async with self._beating(raw):
                await self._bus.publish_raw(
                    f"{DEAD_PREFIX}.{raw.subject}", raw.data, headers=headers, deadline_s=_DEAD_DEADLINE_S
                )
        except (BusUnavailable, PublishRefused) as error:
            log.error("consumer.dead_letter_failed", consumer=self.durable, seq=meta.seq, error=error)
            await raw.nak(delay=_NOT_DEAD_YET_S)
            return
        await raw.term()
        _HANDLED.labels(self.durable, event, "dead").inc()

    def _beating(self, raw: Msg) -> "_Beat":
        return _Beat(raw, self._ack_wait_s / 3)


class _Beat:
    """While a message is in hand (or waits for its session's lock), tell the server not to deliver it again."""

    def __init__(self, raw: Msg, every_s: float) -> None:
        self._raw = raw
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._raw.in_progress()
            except nats.errors.Error as error:
                log.debug("consumer.beat_failed", error=error)


async def _undecoded(message: Any) -> Any:
    """Hand the whole message on: parsing is ours, because a body that cannot be read has its own way out."""
    return message


def consumer(
    bus: JetStream,
    durable: str,
    subjects: Sequence[str],
    handler: Handler,
    *,
    stream: StreamSpec = SESSIONS,
    max_deliver: int = 5,
    ack_wait_s: float = 10.0,
    concurrency: int = 16,
    key: Callable[[Any], str] = session_id,
    handler_timeout_s: float = 30.0,
    retry_for_s: float = 3600.0,
) -> Consumer:
    """A durable consumer, to be started.

    The handler gets the parsed event and its place in the stream. It returns: acknowledged. `RetryLater` (or
    `BusUnavailable`): called again with the same message after the delay, its session's later messages wait.
    `Rejected`: dead letter at once. Anything else, and more than `handler_timeout_s`: logged as a bug, delivered again
    after `BACKOFF_S`, a dead letter after `max_deliver` deliveries. So is, at once, a body that cannot be read.

    Args:
        durable: The name under which the server keeps the position; replicas share it.
        subjects: One or more filters of `stream`.
        ack_wait_s: After so long without a sign of life from us, the server delivers again.
        concurrency: Messages in hand at once, of different keys.
        key: Messages with the same key are handled one after the other, in stream order.
        retry_for_s: After so long of `RetryLater`, the message goes back and counts as a failed delivery.
    """
    return Consumer(
        bus,
        durable,
        subjects,
        handler,
        stream=stream.name,
        max_deliver=max_deliver,
        ack_wait_s=ack_wait_s,
        concurrency=concurrency,
        key=key,
        handler_timeout_s=handler_timeout_s,
        retry_for_s=retry_for_s,
    )
