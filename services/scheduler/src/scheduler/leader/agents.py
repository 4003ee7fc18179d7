"""Commands to nodes; they run beside the session's other steps, so that a silent node delays no other session."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.commands import AssignJob, EndJob, JobEnded
from contracts.events import SessionRequested
from scheduler.domain.facts import EndAnswer
from scheduler.domain.session import Attempt
from scheduler.ports import Leadership, Nodes, Outranked, Rooms, Unavailable, Words

T = TypeVar("T")


class Agents:
    """Starts and stops jobs on nodes; nodes make each command idempotent by session and epoch.

    Args:
        livekit_url: The URL at which agents join, ws or wss.
        leadership: Its term goes into each command, so that a node refuses a deposed leader.
    """

    def __init__(self, nodes: Nodes, rooms: Rooms, livekit_url: str, leadership: Leadership, words: Words) -> None:
        self._leadership = leadership
        self._nodes = nodes
        self._rooms = rooms
        self._livekit_url = livekit_url
        self._words = words

    def expect(self, requested: SessionRequested) -> None:
        """Prepare for `ask`, which follows when the session has its slot and its node."""
        self._words.expect(requested)

    def ended(self, session_id: str) -> None:
        """Delete what is kept for `ask`: the session has ended."""
        self._words.ended(session_id)

    async def ask(
        self, session: SessionRequested, attempt: Attempt, *, takeover: bool, farewell: bool, seals: bool
    ) -> None:
        """Ask the attempt's node to run the job.

        Args:
            seals: The node seals words: each that may take over from it can open them. It gets the key in any case,
                because epochs before it may have sealed theirs.

        Raises:
            NotAccepted: The node refused, or did not answer.
            Unavailable: The command could not be sent.
            WordsLost: No key opens the session's words.
        """
        requested, secret = await self._words.open(session)

        async def assign(term: int) -> None:
            command = AssignJob(
                session_id=requested.session_id,
                epoch=attempt.epoch,
                url=self._livekit_url,
                token=self._rooms.agent_token(requested.session_id, attempt.epoch),
                user_name=requested.user_name,
                user_id=requested.user_id,
                user_id_derived=requested.user_id_derived,
                voice_id=requested.voice_id,
                opening_line=requested.opening_line,
                system_prompt=requested.system_prompt,
                language=requested.language,
                end_call=requested.end_call,
                interruptible=requested.interruptible,
                tools=requested.tools,
                served_ms_before=attempt.served_ms_before,
                billable_ms_before=attempt.billable_ms_before,
                granted_minutes=attempt.granted_minutes,
                takeover=takeover,
                farewell=farewell,
                words_key=secret,
                seals=seals,
                term=term,
            )
            await self._nodes.assign(attempt.node_id, command)

        await self._as_leader(assign)

    async def end(self, session_id: str, epoch: int, node_id: str, reason: str, *, say: str | None = None) -> EndAnswer:
        """Stop the epoch's agent; without a reply the last tick counts.

        Args:
            say: A last sentence.
        """
        try:
            reply = await self._end(session_id, epoch, node_id, reason, say=say)
        except Unavailable:
            reply = None
        if reply is None or not reply.found:
            return EndAnswer(epoch, None)
        return EndAnswer(epoch, reply.served_ms, reply.fault_ms)

    async def stop_job(self, session_id: str, epoch: int, node_id: str, reason: str) -> bool:
        """Have a node stop a superseded or stale epoch; False: the node did not confirm it."""
        try:
            return await self._end(session_id, epoch, node_id, reason) is not None
        except Unavailable:
            return False

    async def _end(
        self, session_id: str, epoch: int, node_id: str, reason: str, *, say: str | None = None
    ) -> JobEnded | None:
        async def end(term: int) -> JobEnded | None:
            command = EndJob(session_id=session_id, epoch=epoch, reason=reason, say=say, term=term)
            return await self._nodes.end(node_id, command)

        return await self._as_leader(end)

    async def _as_leader(self, command: Callable[[int], Awaitable[T]]) -> T:
        try:
            return await command(self._leadership.term)
        except Outranked as error:
            if not await self._leadership.outbid(error.term):
                raise Unavailable(str(error)) from error
        try:
            return await command(self._leadership.term)
        except Outranked as error:
            raise Unavailable(str(error)) from error
