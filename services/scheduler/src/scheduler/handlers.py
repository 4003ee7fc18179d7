"""What arrives over NATS: the log's records, and LiveKit's webhooks about who joins and leaves a room.

Nodes and prejoined rooms come as changes of buckets, which `leader/liveness.py` and `leader/prejoiner.py` watch.
"""

from dataclasses import replace
from typing import Final

from contracts.events import SessionRequested
from contracts.ids import caller_identity

from chassis import logs
from scheduler.domain.session import Recorded
from scheduler.leader.conductor import Conductor
from scheduler.leader.reconciler import Reconciler
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Feed, RoomRecord

_JOINED: Final = "participant_joined"
_LEFT: Final = "participant_left"  # a stay whose media never came up ends with participant_connection_aborted
_EARLY: Final = 1_000  # sessions
_EARLY_EACH: Final = 8
_STAYS: Final = 16  # ended stays of one caller that are remembered

log = logs.get_logger(__name__)


class Handlers:
    """The messages of one term, in any order and any number of times.

    Webhooks only make things faster: the reconciler asks LiveKit itself. Their stream may be ahead of the log, so
    webhooks about an unknown session wait for its `requested`; the last 1,000 sessions' are kept.
    """

    def __init__(self, conductor: Conductor, reconciler: Reconciler, timekeeper: Timekeeper) -> None:
        self._conductor = conductor
        self._board = conductor.board
        self._reconciler = reconciler
        self._timekeeper = timekeeper
        self._early: dict[str, list[RoomRecord]] = {}

    async def follow_log(self, feed: Feed[Recorded]) -> None:
        """Take in every lifecycle event, from `requested` to `ended`; runs until cancelled."""
        async for record in feed:
            try:
                await self._timekeeper.place(record)
                self.on_record(record)
            except Exception:  # one record must not end this term and every later one
                log.exception("record.skipped", session_id=record.event.session_id, seq=record.seq)

    async def follow_rooms(self, feed: Feed[RoomRecord]) -> None:
        """Take in every webhook; runs until cancelled."""
        async for record in feed:
            try:
                # Another server, with another clock than the log's, may lead this stream.
                live = feed.caught_up.is_set()
                at_ms = self._conductor.now_ms() if live else self._conductor.log_ms(record.stored_ms)
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
        session = self._board.session(event.session_id)
        is_callers = event.participant_identity == caller_identity(event.session_id)
        if session is None:
            if is_callers:
                self._keep(record)
        elif session.has_ended:
            return
        elif event.event == "room_finished":
            if self._conductor.is_acting:
                self._conductor.beside(self._reconciler.room_finished(event.session_id))
        elif is_callers:
            self._moved(record)

    def _keep(self, record: RoomRecord) -> None:
        kept = self._early.setdefault(record.event.session_id, [])
        kept.append(record)
        del kept[:-_EARLY_EACH]
        if len(self._early) > _EARLY:
            del self._early[next(iter(self._early))]

    def _moved(self, record: RoomRecord) -> None:
        event, sid = record.event, record.event.participant_sid
        facts = self._board.facts(event.session_id, self._conductor.now_ms())
        if sid in facts.caller_stays:
            return  # an old webhook, repeated: that stay has ended
        if event.event == _JOINED:
            self._conductor.learn(event.session_id, caller_here=True, caller_sid=sid, caller_left_ms=None)
        elif event.event == _LEFT:
            stays = facts.caller_stays if sid is None else (*facts.caller_stays, sid)[-_STAYS:]
            if facts.caller_sid is not None and sid not in (facts.caller_sid, None):
                # A caller who came back has a new id; LiveKit may report that before the end of the old stay.
                self._board.learn(event.session_id, caller_stays=stays)
                return
            left_ms = record.stored_ms
            if sid is None and facts.caller_left_ms is not None:
                left_ms = facts.caller_left_ms
            self._conductor.learn(event.session_id, caller_here=False, caller_left_ms=left_ms, caller_stays=stays)
