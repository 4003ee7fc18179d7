"""The commands to the nodes: each runs beside the session's other steps, so that a silent node delays nobody."""

from contracts.commands import AssignJob, EndJob
from contracts.events import SessionRequested

from scheduler.domain.facts import EndAnswer
from scheduler.domain.session import Attempt
from scheduler.ports import Nodes, Rooms, Unavailable

SUPERSEDED = "superseded"


class Agents:
    """Hands jobs to nodes and takes them back; idempotent by session and epoch on the node's side."""

    def __init__(self, nodes: Nodes, rooms: Rooms, livekit_url: str) -> None:
        """Take the parts.

        Args:
            livekit_url: The URL that the agents join at, ws or wss.
        """
        self._nodes = nodes
        self._rooms = rooms
        self._livekit_url = livekit_url

    async def ask(self, requested: SessionRequested, attempt: Attempt, *, takeover: bool, farewell: bool) -> None:
        """Ask the attempt's node to run the job.

        Raises:
            NotTaken: It refused, or did not answer.
            Unavailable: The command could not be sent.
        """
        await self._nodes.assign(
            attempt.node_id,
            AssignJob(
                session_id=requested.session_id,
                epoch=attempt.epoch,
                url=self._livekit_url,
                token=self._rooms.agent_token(requested.session_id, attempt.epoch),
                user_name=requested.user_name,
                user_id=requested.user_id,
                voice_id=requested.voice_id,
                opening_line=requested.opening_line,
                system_prompt=requested.system_prompt,
                tools=requested.tools,
                served_ms_before=attempt.served_ms_before,
                billable_ms_before=attempt.billable_ms_before,
                granted_minutes=attempt.granted_minutes,
                takeover=takeover,
                farewell=farewell,
            ),
        )

    async def end(self, session_id: str, epoch: int, node_id: str, reason: str, *, say: str | None = None) -> EndAnswer:
        """Stop the epoch's agent; a silent node's last tick counts.

        Args:
            say: A last sentence.
        """
        try:
            command = EndJob(session_id=session_id, epoch=epoch, reason=reason, say=say)
            reply = await self._nodes.end(node_id, command)
        except Unavailable:
            reply = None
        if reply is None or not reply.found:
            return EndAnswer(epoch, None)
        return EndAnswer(epoch, reply.served_ms, reply.fault_ms)
