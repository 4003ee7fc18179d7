"""LiveKit's webhooks: who comes and goes. They only make things faster; the reconciler asks LiveKit itself."""

from typing import Final

from contracts.ids import caller_identity

from scheduler.handlers.conductor import Conductor
from scheduler.handlers.reconciler import Reconciler
from scheduler.ports import RoomRecord

_JOINED: Final = "participant_joined"
_LEFT: Final = "participant_left"  # a stay whose media never came up ends with participant_connection_aborted
_EARLY: Final = 1_000  # sessions
_EARLY_EACH: Final = 8
_STAYS: Final = 16  # of one caller, remembered after they ended


class Callers:
    """Takes in the webhooks of one term, in any order and as often as they come.

    The stream of webhooks may be ahead of the log: those about a session that is not known yet are kept for its
    `requested`, the last thousand sessions'.
    """

    def __init__(self, conductor: Conductor, reconciler: Reconciler) -> None:
        self._conductor = conductor
        self._board = conductor.board
        self._reconciler = reconciler
        self._early: dict[str, list[RoomRecord]] = {}

    def heard(self, record: RoomRecord) -> None:
        """A webhook arrived."""
        event = record.event
        session = self._board.session(event.session_id)
        is_callers = event.participant_identity == caller_identity(event.session_id)
        if session is None:
            if is_callers:
                self._keep(record)
        elif session.is_over:
            return
        elif event.event == "room_finished":
            if self._conductor.is_acting:
                self._conductor.beside(self._reconciler.room_finished(event.session_id))
        elif is_callers:
            self._moved(record)

    def begun(self, session_id: str) -> None:
        """The session's `requested` was taken in: what was heard of its caller before counts now."""
        for record in self._early.pop(session_id, ()):
            self.heard(record)

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
            return  # that stay has ended: an older webhook, repeated
        if event.event == _JOINED:
            self._conductor.learn(event.session_id, caller_here=True, caller_sid=sid, caller_left_ms=None)
        elif event.event == _LEFT:
            stays = facts.caller_stays if sid is None else (*facts.caller_stays, sid)[-_STAYS:]
            if facts.caller_sid is not None and sid not in (facts.caller_sid, None):
                # A caller who came back has a new id, perhaps before the old stay is reported over.
                self._board.learn(event.session_id, caller_stays=stays)
                return
            left_ms = record.stored_ms
            if sid is None and facts.caller_left_ms is not None:
                left_ms = facts.caller_left_ms
            self._conductor.learn(event.session_id, caller_here=False, caller_left_ms=left_ms, caller_stays=stays)
