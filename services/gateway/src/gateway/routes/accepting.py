"""Accepting a start: its id, its room and its request in the log, all of them or none."""

from dataclasses import dataclass

from chassis.logs import get_logger
from contracts.api import StartRequest
from contracts.errors import IDEMPOTENCY_MISMATCH, ROOM_TAKEN, SESSION_ID_TAKEN, Refused
from contracts.events import SessionRequested
from contracts.registry import IdempotentStart

from contracts import ids
from gateway.domain.rooms import is_usable
from gateway.domain.start import check_recordable, fingerprint, is_same_start, requested
from gateway.domain.tools import check_tools
from gateway.domain.voices import check_voice
from gateway.ports import SessionIdTaken
from gateway.routes.services import Services
from gateway.routes.undo import room_undone_on_failure, undo_room
from gateway.routes.used_ids import refuse_used

log = get_logger(__name__)


@dataclass(frozen=True)
class Accepted:
    """A start that stands in the log.

    Attributes:
        seq: The sequence of its `requested`; 0 when an earlier try published it.
        replayed: An earlier try of the same request made this session.
    """

    session: SessionRequested
    seq: int = 0
    replayed: bool = False


class Acceptance:
    """One start on its way into the log.

    Attributes:
        session_id: Known as soon as it is chosen, so that a refusal can name it.
    """

    def __init__(self, body: StartRequest, services: Services, key: str | None) -> None:
        self.session_id: str | None = None
        self._body = body
        self._services = services
        self._key = key

    async def run(self) -> Accepted:
        """Make the room and publish the request, or find that an earlier try of this request did."""
        body, services = self._body, self._services
        await self._check()
        now = services.now()
        ahead = await self._room_ahead()
        session_id = body.session_id or ahead or ids.session_id(int(now.timestamp() * 1000), services.randomness())
        claimed = session_id if self._key is None else await self._claim(self._key, session_id)
        self.session_id = claimed
        if ahead is not None and claimed != ahead:
            await undo_room(ahead, services)  # another try was faster; after a failure the scheduler does it
        event = requested(body, claimed, now)
        if body.session_id is not None or claimed != session_id:
            # Looked up before the room is made: a room made for an ended session would let its old tokens in.
            earlier = await services.log.last(SessionRequested, claimed)
            if earlier is not None:
                return self._repeated(event, earlier)
        if body.session_id is not None:
            await refuse_used(body.session_id, services)
        return await self._open(event, is_ahead=claimed == ahead)

    async def _check(self) -> None:
        """What may change between two tries of one request."""
        check_recordable(self._body, self._services.now())
        check_tools(self._body.tools, self._services.tool_hosts)
        check_voice(self._body.voice_id, await self._services.voices.known())

    async def _open(self, event: SessionRequested, *, is_ahead: bool) -> Accepted:
        services, session_id = self._services, event.session_id
        await services.log.connected()  # else each try during an outage would leave a room behind
        try:
            async with room_undone_on_failure(session_id, services):
                await self._make_room(session_id, is_ahead=is_ahead)
                return Accepted(event, await services.log.open(event))
        except SessionIdTaken:
            return self._repeated(event, await services.log.last(SessionRequested, session_id))

    async def _make_room(self, session_id: str, *, is_ahead: bool) -> None:
        """Make the room. One that exists is another try's, or joined ahead, or is replaced by a room with our settings.

        Raises:
            SessionIdTaken: The room belongs to a session of the log.
            Refused: `room_taken`.
        """
        rooms = self._services.rooms
        room = await rooms.create(session_id)
        if room.is_new or (is_ahead and room.has_our_settings):
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
            raise Refused(ROOM_TAKEN, f"Another program makes the LiveKit room {session_id}.", session_id=session_id)

    async def _room_ahead(self) -> str | None:
        """A room with an agent in it, for a start that leaves the id to us and is not the repetition of another."""
        body, services, key = self._body, self._services, self._key
        if body.session_id is not None:
            if body.session_id in services.prejoined.ids:
                # Reserved for the start that takes the room's key; another start could not keep it.
                raise Refused(SESSION_ID_TAKEN, f"{body.session_id} is reserved for a start without a session id.")
            return None
        if key is not None and services.prejoined.ids and await services.idempotency.find(key) is not None:
            return None
        return await services.prejoined.take(region=body.metadata.get("region"))

    async def _claim(self, key: str, session_id: str) -> str:
        digest = fingerprint(self._body)
        first = await self._services.idempotency.claim(key, IdempotentStart(session_id=session_id, body_sha256=digest))
        if first.body_sha256 != digest:
            raise Refused(IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for a start with another body.")
        return first.session_id

    def _repeated(self, event: SessionRequested, earlier: SessionRequested | None) -> Accepted:
        if self._key is not None and earlier is not None and is_same_start(event, earlier):
            return Accepted(earlier, replayed=True)
        raise Refused(SESSION_ID_TAKEN, f"There is a session {event.session_id} already.", session_id=event.session_id)
