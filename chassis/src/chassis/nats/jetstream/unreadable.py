"""Messages and values that a reader cannot parse: logged and counted once, messages copied to the dead letters."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from chassis import logs, metrics
from chassis.nats.errors import BusUnavailable, PublishRefused, SequenceConflict
from chassis.nats.jetstream.messages import MSG_ID, Stored, ascii_header, brief, stream_of
from chassis.tasks import Tasks
from contracts.streams import DEAD
from contracts.subjects import DEAD_PREFIX

_REMEMBERED: Final = 10_000
_WAITING: Final = 32  # of up to 512 KiB each; the next reader reports the others again
_DEADLINE_S: Final = 10.0
_MOST_BYTES: Final = DEAD.max_msg_size - 64 * 1024  # the rest is for the headers
_SUBJECT_CHARS: Final = 200

_RECORDS: Final = metrics.counter("bus_unreadable_records_total", "Records that cannot be read", ("stream",))
_VALUES: Final = metrics.counter("bus_unreadable_values_total", "Values of keys that cannot be read", ("bucket",))

M = TypeVar("M", bound=BaseModel)

log = logs.get_logger(__name__)


class _Once:
    """Remembers the newest 10,000 reports, so that each is made once."""

    def __init__(self) -> None:
        self._said: dict[tuple[Any, ...], None] = {}

    def first(self, *what: Any) -> bool:
        if what in self._said:
            return False
        self._said[what] = None
        if len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        return True

    def report_again(self, *what: Any) -> None:
        self._said.pop(what, None)


class UnreadableRecords:
    """A process logs and counts each record once; all processes together copy it to the dead letters once."""

    def __init__(self, publish: Callable[..., Awaitable[Any]]) -> None:
        self._publish = publish
        self._met = _Once()
        self._waiting: deque[Stored] = deque()
        self._task: asyncio.Task[None] | None = None

    def met(self, record: Stored) -> None:
        """Report a record; a task writes the dead letter, so that the reader does not wait for it."""
        if not self._is_new(record):
            return
        if len(self._waiting) >= _WAITING:
            self._met.report_again(stream_of(record.subject), record.seq)
            return
        self._waiting.append(record)
        if self._task is None or self._task.done():
            self._task = Tasks().spawn(self._bury_all())

    async def bury(self, record: Stored) -> None:
        """Write the dead letter, unless another reader has written it.

        Raises:
            BusUnavailable: Not by the deadline.
            PublishRefused: The stream rejects it.
        """
        self._is_new(record)
        stream = stream_of(record.subject)
        kept = {k: ascii_header(v) for k, v in record.headers.items() if k.lower().startswith("ce-") and k.isascii()}
        headers = kept | {
            MSG_ID: f"{stream}/unreadable/{record.seq}/{record.stored_ms}",
            "dead-reason": ascii_header(
                f"cannot be read: {record.unreadable or 'an event that this version does not know'}"
            ),
            "dead-subject": ascii_header(record.subject),
            "dead-stream": stream,
            "dead-seq": str(record.seq),
            "dead-bytes": str(len(record.data)),
            "dead-deliveries": "1",  # a replay delivers each message once
        }
        try:
            await self._publish(
                f"{DEAD_PREFIX}.unreadable.{stream}.{record.seq}",
                record.data[:_MOST_BYTES],
                headers=headers,
                expect_last=0,
                deadline_s=_DEADLINE_S,
            )
        except SequenceConflict:
            return

    async def close(self) -> None:
        """Stop writing; the next reader reports the remaining records again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_new(self, record: Stored) -> bool:
        stream = stream_of(record.subject)
        if not self._met.first(stream, record.seq):
            return False
        subject = record.subject[:_SUBJECT_CHARS]
        log.error("record.unreadable", stream=stream, seq=record.seq, subject=subject, reason=record.unreadable)
        _RECORDS.labels(stream).inc()
        return True

    async def _bury_all(self) -> None:
        while self._waiting:
            record = self._waiting.popleft()
            try:
                await self.bury(record)
            except (BusUnavailable, PublishRefused) as error:
                self._met.report_again(stream_of(record.subject), record.seq)
                log.error("record.dead_letter_failed", seq=record.seq, error=error)
            except Exception:
                log.exception("record.dead_letter_bug", seq=record.seq)


_values_met: Final = _Once()


def read_value(model: type[M], bucket: str, key: str, value: bytes, revision: int = 0) -> M | None:
    """A key's value; None, logged once per revision, if it cannot be parsed: the reader goes on without it."""
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        if _values_met.first(bucket, key, revision):
            _VALUES.labels(bucket).inc()
            log.error("value.unreadable", bucket=bucket, key=key[:_SUBJECT_CHARS], reason=brief(error))
        return None
