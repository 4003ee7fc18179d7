"""What arrives over NATS: the log's records, and LiveKit's webhooks about who joins and leaves a room.

Nodes and prejoined rooms come as changes of buckets, which `leader/liveness.py` and `leader/prejoiner.py` watch.
"""

from dataclasses import replace
from typing import Final

from chassis import logs
from contracts.events import SessionRequested
from contracts.ids import caller_identity
from scheduler.domain.facts import CallerJoined, CallerLeft
from scheduler.domain.session import Recorded
from scheduler.leader.conductor import Conductor
from scheduler.leader.room_repair import RoomRepair
from scheduler.ports import Feed, RoomRecord

_JOINED: Final = "participant_joined"
_LEFT: Final = "participant_left"  # a stay whose media never came up ends with participant_connection_aborted
_EARLY: Final = 1_000  # sessions
_EARLY_EACH: Final = 8

log = logs.get_logger(__name__)


class Handlers:
    """The messages of one term, in any order and any number of times.

    Webhooks only make things faster: the reconciler asks LiveKit itself. Their stream may be ahead of the log, so
    webhooks about an unknown session wait for its `requested`; the last 1,000 sessions' are kept.
    """

    def __init__(self, conductor: Conductor, rooms: RoomRepair) -> None:
        self._conductor = conductor
        self._roster = conductor.board.roster
        self._rooms = rooms
        self._early: dict[str, list[RoomRecord]] = {}

    async def follow_log(self, feed: Feed[Recorded]) -> None:
        """Take in every lifecycle event, from `requested` to `ended`; runs until cancelled."""
        async for record in feed:
            try:
                await self._conductor.time.check_clock(record)
                self.on_record(record)
            except Exception:  # one record must not end this term and every later one
                log.exception("record.skipped", session_id=record.event.session_id, seq=record.seq)

    async def follow_rooms(self, feed: Feed[RoomRecord]) -> None:
        """Take in every webhook; runs until cancelled."""
        async for record in feed:
            try:
                # Another server, with another clock than the log's, may lead this stream.
                live = feed.caught_up.is_set()
                at_ms = self._conductor.time.now_ms() if live else self._conductor.time.log_ms(record.stored_ms)
                self.on_webhook(replace(record, stored_ms=at_ms))
            except Exception:
                log.exception("room_record.skipped", session_id=record.event.session_id)

    def on_record(self, record: Recorded) -> None:
        """Take in one record of the log; a `requested` also releases the webhooks that came before it."""
        self._conductor.heard(record)
        if isinstance(record.event, SessionRequested):
            for early in self._early.pop(record.event.session_id, ()):
                self.on_webhook(early)

    def on_webhook(self, record: RoomRecord) -> None:
        """Take in one webhook."""
        event = record.event
        session = self._roster.session(event.session_id)
        is_callers = event.participant_identity == caller_identity(event.session_id)
        if session is None:
            if is_callers:
                self._keep(record)
        elif session.has_ended:
            return
        elif event.event == "room_finished":
            if self._conductor.is_acting:
                self._conductor.beside(self._rooms.room_finished(event.session_id))
        elif is_callers and event.event == _JOINED:
            self._conductor.learn(event.session_id, CallerJoined(event.participant_sid))
        elif is_callers and event.event == _LEFT:
            self._conductor.learn(event.session_id, CallerLeft(event.participant_sid, record.stored_ms))

    def _keep(self, record: RoomRecord) -> None:
        kept = self._early.setdefault(record.event.session_id, [])
        kept.append(record)
        del kept[:-_EARLY_EACH]
        if len(self._early) > _EARLY:
            del self._early[next(iter(self._early))]
