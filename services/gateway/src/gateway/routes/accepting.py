"""Accepting a start: its session id, its room and its event in the log, all or none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.logs import get_logger
from contracts import ids
from contracts.api import StartRequest
from contracts.errors import IDEMPOTENCY_MISMATCH, LOG_FULL, ROOM_TAKEN, SESSION_ENDED, SESSION_ID_TAKEN, Refused
from contracts.events import SessionEnded, SessionRequested
from contracts.registry import IdempotentStart
from gateway.domain import idempotency
from gateway.domain.rooms import is_usable
from gateway.domain.start import check_recordable, is_same_start, requested
from gateway.domain.tools import check_tools
from gateway.domain.voices import check_voice
from gateway.ports import KeyedEntry, SessionIdTaken
from gateway.routes.keyed import RequestKey
from gateway.routes.ownership import take_seat
from gateway.routes.services import Services
from gateway.routes.undo import AttemptedRoom, room_undone_on_failure, undo_room
from gateway.routes.used_ids import refuse_used

log = get_logger(__name__)

ROUTE: Final = "start"
_RETRY_AFTER_FULL_S: Final = 30


@dataclass(frozen=True)
class Accepted:
    """A start that is in the log.

    Attributes:
        seq: Stream sequence of its `requested`; None when an earlier attempt published it.
        replayed: An earlier attempt of the same request created this session.
    """

    session: SessionRequested
    seq: int | None = None
    replayed: bool = False


class Acceptance:
    """The acceptance of one start.

    Attributes:
        session_id: Set when it is chosen, so that a refusal can name it.
    """

    def __init__(self, body: StartRequest, services: Services, key: RequestKey | None) -> None:
        self.session_id: str | None = None
        self._body = body
        self._services = services
        self._key = key

    async def run(self) -> Accepted:
        """Create the room and publish the request, or find the session of an earlier attempt of this request."""
        body, services = self._body, self._services
        await self._check()
        await take_seat(body, services)
        ahead = await self._room_ahead()
        session_id = body.session_id or ahead or self._new_id()
        keyed = None if self._key is None else await self._take_key(self._key, session_id)
        session_of_key = session_id if keyed is None else keyed.entry.session_id
        if ahead is not None and session_of_key != ahead:
            await undo_room(ahead, services)  # another attempt was faster; if this fails, the scheduler closes the room
        if body.session_id is not None or session_of_key != session_id:
            # Before the room is created: a new room for an ended session would admit its old tokens.
            earlier = await services.log.last(SessionRequested, self._chose(session_of_key))
            if earlier is not None:
                return await self._repeated(earlier, keyed)
        if body.session_id is not None:
            await refuse_used(body.session_id, services)
        return await self._open(session_of_key, keyed, is_ahead=session_of_key == ahead)

    async def _check(self) -> None:
        """Refuse what settings or stores do not allow now, unless an earlier attempt of this start was accepted."""
        check_recordable(self._body, self._services.now())
        try:
            check_tools(self._body.tools, self._services.tool_hosts)
            check_voice(self._body.voice_id, await self._services.voices.known())
        except Refused:
            if self._key is None or await self._known(self._key) is None:
                raise
        if self._services.queue.log_is_full and not await self._is_repeated():
            # Before the start takes a seat, a prejoined room or the key.
            raise _log_full(self._body.session_id)

    async def _is_repeated(self) -> bool:
        if self._key is not None and await self._known(self._key) is not None:
            return True
        chosen = self._body.session_id
        return chosen is not None and await self._services.log.last(SessionRequested, chosen) is not None

    async def _open(
        self, session_id: str, keyed: KeyedEntry[IdempotentStart] | None, *, is_ahead: bool = False
    ) -> Accepted:
        services = self._services
        if services.queue.log_is_full:
            raise _log_full(session_id)
        event = self._requested(self._chose(session_id), services.now())
        await services.log.connected()  # otherwise each attempt during an outage would leave a room behind
        room = AttemptedRoom(may_exist=is_ahead)
        try:
            async with room_undone_on_failure(session_id, services, room):
                await self._make_room(session_id, room, is_ahead=is_ahead)
                # Not beside the room: a key is kept for days, and would stay of each start that LiveKit fails.
                secret = await services.words.secret_for(session_id)
                return Accepted(event, await services.log.open(event, secret))
        except SessionIdTaken:
            earlier = await services.log.last(SessionRequested, session_id)
            if is_ahead and (keyed is None or (keyed.is_ours and not self._is_ours(earlier))):
                log.warning("prejoined.returned", session_id=session_id)  # its session was just being requested
                return await self._start_again(keyed)
            if earlier is None:
                raise self._taken(session_id) from None
            return await self._repeated(earlier, keyed)

    async def _make_room(self, session_id: str, ours: AttemptedRoom, *, is_ahead: bool) -> None:
        """Create the room, or replace an existing one that this start cannot use.

        A prejoined room is usable: the scheduler created it, and its agent is inside.

        Raises:
            SessionIdTaken: The room belongs to a session of the log.
            Refused: `room_taken`.
        """
        rooms = self._services.rooms
        async with rooms.in_line():
            ours.may_exist = True
            room = await rooms.create(session_id)
        if room.is_new or is_ahead:
            return
        if await self._services.log.last(SessionRequested, session_id) is not None:
            raise SessionIdTaken
        inside = await rooms.identities(session_id)
        if is_usable(room, inside, session_id, self._services.now()):
            return
        log.warning("room.replaced", session_id=session_id, inside=len(inside), had_our_settings=room.has_our_settings)
        await rooms.delete(session_id)
        again = await rooms.create(session_id)
        if not (again.is_new or again.has_our_settings):
            raise Refused(ROOM_TAKEN, f"Another program creates the LiveKit room {session_id}.", session_id=session_id)

    async def _room_ahead(self) -> str | None:
        """Claim a prejoined room, if the start has no session id and does not repeat another start."""
        body, services = self._body, self._services
        if body.session_id is not None:
            if body.session_id in services.prejoined.ids:
                # The id belongs to the start that claims the room's key.
                raise Refused(SESSION_ID_TAKEN, f"{body.session_id} is reserved for a start without a session id.")
            return None
        if self._key is not None and services.prejoined.ids and await self._known(self._key) is not None:
            return None
        ahead = await services.prejoined.claim(region=body.metadata.get("region"))
        if ahead is None or await services.log.last(SessionRequested, ahead) is None:
            return ahead
        # NATS can bring a deleted key back. Another session owns this room: its token must not be handed out.
        log.warning("prejoined.returned", session_id=ahead)
        return None

    async def _take_key(self, key: RequestKey, session_id: str) -> KeyedEntry[IdempotentStart]:
        """Take the key for this session, unless an earlier attempt has it.

        Raises:
            Refused: `idempotency_mismatch`, `idempotency_store_full`.
        """
        keys, body = self._services.idempotency, self._body
        old = await keys.find(idempotency.first_form_name(key.value), IdempotentStart)
        if old is not None:
            if not idempotency.is_same_first_form(body, old.entry):
                raise _mismatch()
            session_id = old.entry.session_id
        ours = idempotency.of_start(body, session_id)
        keyed = await keys.put_if_absent(key.name, ours)
        if not idempotency.is_same(ours.body_sha256, keyed.entry.body_sha256):
            raise _mismatch()
        return keyed

    async def _known(self, key: RequestKey) -> str | None:
        """The session for which an earlier attempt of this request took the key."""
        keys, body = self._services.idempotency, self._body
        keyed = await keys.find(key.name, IdempotentStart)
        if keyed is not None:
            same = idempotency.is_same(idempotency.start_fingerprint(body), keyed.entry.body_sha256)
            if not same:
                raise _mismatch()
            return keyed.entry.session_id
        old = await keys.find(idempotency.first_form_name(key.value), IdempotentStart)
        return old.entry.session_id if old is not None and idempotency.is_same_first_form(body, old.entry) else None

    async def _repeated(self, earlier: SessionRequested, keyed: KeyedEntry[IdempotentStart] | None) -> Accepted:
        """Answer with the session of an earlier attempt, or start again if that one failed.

        Raises:
            Refused: `session_id_taken`; `session_ended` instead of a token that opens nothing.
        """
        session_id = earlier.session_id
        if keyed is None or (self._body.session_id is not None and not self._is_ours(earlier)):
            raise self._taken(session_id)
        ended = await self._services.log.last(SessionEnded, session_id)
        if ended is None:
            return Accepted(earlier, replayed=True)
        if self._key is None or self._body.session_id is not None or not idempotency.may_start_again(ended):
            raise Refused(
                SESSION_ENDED,
                f"This Idempotency-Key started session {session_id}, which has ended: {ended.reason}.",
                session_id=session_id,
            )
        return await self._start_again(keyed)

    async def _start_again(self, keyed: KeyedEntry[IdempotentStart] | None) -> Accepted:
        """Start with another session id, unless another attempt of this request is faster."""
        again = idempotency.of_start(self._body, self._new_id())
        if self._key is None or keyed is None:
            return await self._open(again.session_id, None)
        keyed = await self._services.idempotency.replace(self._key.name, keyed, again)
        if keyed.is_ours:
            return await self._open(keyed.entry.session_id, keyed)
        # Another attempt of this request was faster; its session may not be in the log yet.
        twin = await self._services.log.last(SessionRequested, keyed.entry.session_id)
        if twin is None:
            return await self._open(keyed.entry.session_id, keyed)
        self._chose(keyed.entry.session_id)
        return Accepted(twin, replayed=True)

    def _is_ours(self, earlier: SessionRequested | None) -> bool:
        """Whether the request in the log is this start's: an attempt with the same key opens the same session."""
        return earlier is not None and is_same_start(self._requested(earlier.session_id, earlier.time), earlier)

    def _requested(self, session_id: str, at: datetime) -> SessionRequested:
        return requested(self._body, session_id, at, self._services.lines, self._services.accounts)

    def _new_id(self) -> str:
        services = self._services
        return ids.session_id(int(services.now().timestamp() * 1000), services.randomness())

    def _chose(self, session_id: str) -> str:
        self.session_id = session_id
        return session_id

    def _taken(self, session_id: str) -> Refused:
        return Refused(SESSION_ID_TAKEN, f"Session {session_id} already exists.", session_id=session_id)


def _log_full(session_id: str | None) -> Refused:
    return Refused(
        LOG_FULL,
        "The log is almost full of events that are not billed yet; another call could push them out.",
        retry_after_s=_RETRY_AFTER_FULL_S,
        session_id=session_id,
    )


def _mismatch() -> Refused:
    return Refused(IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for a start with another body.")
