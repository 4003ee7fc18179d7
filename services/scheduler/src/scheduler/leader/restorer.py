"""Restores sessions whose beginning the log lost, from what their nodes and the leader know."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from chassis import logs
from contracts.commands import JobDescribed
from contracts.events import SessionRequested
from contracts.registry import Slot
from scheduler.domain.reconciling import StaleJob
from scheduler.domain.session import BEHIND_ALL, Attempt, Session
from scheduler.domain.standing import Standing, standing
from scheduler.leader.conductor import Conductor
from scheduler.leader.each import each
from scheduler.ports import Nodes, NodeSilent, Outrun, SessionLog, Slots, Unavailable, Words

_NODES_AT_ONCE: Final = 64

T = TypeVar("T")

log = logs.get_logger(__name__)


class Restorer:
    """Writes a lost beginning again, so that the session can be ended, taken over and billed.

    Attributes:
        silent: Nodes that did not answer in this round, and are asked no more in it: each question takes its deadline,
            and the gateways wait for the end of the round before they answer "unknown session".
    """

    def __init__(self, conductor: Conductor, session_log: SessionLog, slots: Slots, nodes: Nodes, words: Words) -> None:
        self.silent: set[str] = set()
        self._conductor = conductor
        self._log = session_log
        self._slots = slots
        self._nodes = nodes
        self._words = words

    def report_loss(self, session_id: str, found: str) -> None:
        """Log once that the log lost this session's beginning; its room or slot is kept."""
        self._conductor.beginnings.report_loss(session_id, found)

    async def standing(self, session_id: str, made_ms: int | None) -> Standing:
        """Whether a session is open, has ended, or has lost its beginning, by the log.

        Args:
            made_ms: When its room or slot was made, Unix ms; None: unknown.
        """
        history = await self._log.history(session_id)
        # Asked second: a message that is deleted meanwhile must not count as never written.
        return standing(history, made_ms=made_ms, begins_ms=await self._log.begins_ms())

    async def restore_all(self, known: Iterable[Session]) -> None:
        """Restore the sessions that are older than the log.

        Raises:
            Unavailable: NATS does not answer; the next round retries.
        """
        begins_ms = await self._log.begins_ms()
        older = [s for s in known if s.requested is not None and self._requested_ms(s) < begins_ms]
        await self._by_node(older, _node_of, self._restore_known)

    async def judge_all(self, jobs: Sequence[StaleJob], before: Mapping[str, Session]) -> list[StaleJob]:
        """Restore the jobs of unknown sessions whose beginning the log lost; returns those of ended sessions.

        Args:
            before: The sessions that were open when this process led before, by id. A node that runs the same epoch
                shows that the call goes on, also without an answer of LiveKit.

        Raises:
            Unavailable: NATS does not answer; the next round retries.
        """
        stale: list[StaleJob] = []
        newest = {job.session_id: job.epoch for job in sorted(jobs, key=lambda job: job.epoch)}

        async def judge(job: StaleJob) -> None:
            match await self.standing(job.session_id, None):
                case Standing.ENDED:
                    stale.append(job)
                case Standing.LOST if job.epoch == newest[job.session_id]:
                    known = before.get(job.session_id)
                    await self.restore(job, known if known is not None and known.epoch == job.epoch else None)
                case _:  # of an older epoch, which a later round finds stale
                    pass

        await self._by_node(jobs, lambda job: job.node_id, judge)
        return stale

    async def made_ms(self) -> int:
        """When the log was made, Unix ms. Raises `Unavailable`."""
        return await self._log.made_ms()

    async def _by_node(
        self, broken: Sequence[T], node_of: Callable[[T], str], repair: Callable[[T], Awaitable[None]]
    ) -> None:
        """Repair one session of each node first, so that all silent nodes together, up to 64, take one deadline."""
        first = {node_of(one): one for one in reversed(broken)}
        rest = [one for one in broken if first[node_of(one)] is not one]
        await each(first.values(), repair, at_once=_NODES_AT_ONCE)
        await each(rest, repair)

    async def restore(self, job: StaleJob, known: Session | None = None) -> None:
        """Restore a running job: its node repeats its reports, and the session begins again in the log.

        Args:
            known: The session as the leader knew it; None: only the node knows it.

        Raises:
            Unavailable: NATS does not answer; the next round retries.
        """
        self.report_loss(job.session_id, "job")
        described = await self._describe(job)
        session = known or (described and self._described(job, described))
        if session is None:
            log.warning("session.not_described", session_id=job.session_id, node_id=job.node_id, epoch=job.epoch)
        elif await self._begin_again(session, "" if described is None else described.words_key):
            await self._take_slot(job.session_id)

    async def _describe(self, job: StaleJob) -> JobDescribed | None:
        if job.node_id in self.silent:
            return None
        try:
            return await self._nodes.describe(job.node_id, job.session_id, job.epoch)
        except NodeSilent:
            self.silent.add(job.node_id)
            return None

    async def _restore_known(self, session: Session) -> None:
        session_id, current = session.session_id, session.current
        try:
            if await self.standing(session_id, self._requested_ms(session)) is not Standing.LOST:
                return
            if current is not None:
                await self.restore(StaleJob(session_id, current.epoch, current.node_id), session)
            else:  # no node had it: it queues again, with its full deadline
                self.report_loss(session_id, "start")
                await self._begin_again(session)
        except Unavailable:
            raise
        except Exception:  # one session must not end the term
            log.exception("session.restore_bug", session_id=session_id)

    def _requested_ms(self, session: Session) -> int:
        """When it was requested, by the clock that says since when the log is complete."""
        return self._conductor.time.clock.bus_ms(session.requested_ms)

    async def _begin_again(self, session: Session, secret: str = "") -> bool:
        """Write what the log lost, and follow the session by the new log; False: another leader was faster."""
        if session.requested is not None:
            session = replace(session, requested=await self._words.write_again(session.requested, secret))
        history = await self._log.history(session.session_id)
        try:
            history = await self._conductor.beginnings.write_again(session, history, "log")
        except Outrun as error:
            log.warning("session.not_restored", session_id=session.session_id, reason=str(error))
            return False
        self._conductor.begin_again(session, history)
        return True

    def _described(self, job: StaleJob, told: JobDescribed) -> Session:
        """A session that only its node knows. Its age, the bound of its bill, is capped at the longest call."""
        limits, now_ms = self._conductor.board.limits, self._conductor.time.now_ms()
        age_ms = min(told.age_ms, limits.startup_ms + limits.session_ms + limits.end_wait_ms)
        requested = SessionRequested(
            session_id=job.session_id,
            time=self._conductor.time.datetime(),
            user_name=told.user_name,
            user_id=told.user_id,
            user_id_derived=told.user_id_derived,
            voice_id=told.voice_id,
            opening_line=told.opening_line,
            system_prompt=told.system_prompt,
            language=told.language,
            end_call=told.end_call,
            interruptible=told.interruptible,
            tools=told.tools,
            credit_limit_minutes=told.granted_minutes,
        )
        before_ms = told.served_ms_before
        attempt = Attempt(
            epoch=job.epoch,
            node_id=job.node_id,
            seq=BEHIND_ALL,
            at_ms=now_ms - age_ms,
            served_ms_before=before_ms,
            billable_ms_before=before_ms if told.billable_ms_before is None else told.billable_ms_before,
            granted_minutes=told.granted_minutes,
        )
        return Session(job.session_id, requested, requested_ms=now_ms, attempts={job.epoch: attempt})

    async def _take_slot(self, session_id: str) -> None:
        """Take the slot that it had, or the lowest free one; if all are taken, the call runs without one."""
        board, facts = self._conductor.board, self._conductor.board.roster.facts(session_id)
        own = [] if facts is None or facts.slot is None else [facts.slot]
        held = await self._slots.held()
        for key, entry in held.items():
            if entry.session_id == session_id:
                board.slots.took(key, session_id)
                return
        for key in (*own, *range(board.limits.max_bots)):
            if key in held:
                continue
            try:
                await self._slots.take(key, Slot(session_id=session_id, taken_at=self._conductor.time.datetime()))
            except Outrun:
                continue
            board.slots.took(key, session_id)
            return


def _node_of(session: Session) -> str:
    return "" if session.current is None else session.current.node_id
