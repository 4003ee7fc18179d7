"""Every 15 s: compares the log, LiveKit's rooms, the slots and the nodes' jobs, and repairs what differs.

Webhooks and watches only make things faster; the reconciler finds the same differences without them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chassis import logs
from contracts.deadlines import RESTORE_RETRY_S
from scheduler.domain import reconciling
from scheduler.domain.reconciling import SlotFate
from scheduler.domain.session import Session
from scheduler.domain.standing import Standing
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.leader.each import Rotation
from scheduler.leader.restorer import Restorer
from scheduler.leader.room_repair import RoomRepair
from scheduler.ports import HeldSlot, Slots, Unavailable

_LOG_RETRY_S: Final = 1.0  # a caller who leaves meanwhile is billed by what the log has
_REPAIRS: Final = 200  # unknown sessions whose jobs are judged in one round; the next one goes on

log = logs.get_logger(__name__)


class Reconciler:
    """Repairs in rounds; each part fails alone, and the next round retries it.

    Attributes:
        former: The sessions that were open when this process led before, until the log was asked about them.
        restored_ms: Creation time of the log to which all that this leader and the nodes know is restored; 0: none yet.
    """

    def __init__(
        self,
        conductor: Conductor,
        slots: Slots,
        restorer: Restorer,
        rooms: RoomRepair,
        *,
        every_s: float,
        former: Sequence[Session] = (),
    ) -> None:
        self.former = former
        self._before = {session.session_id: session for session in former}
        self.restored_ms = 0
        self._made_ms = 0
        self._all_judged = False
        self._unknown = Rotation(_REPAIRS)
        self._conductor = conductor
        self._board = conductor.board
        self._slots = slots
        self._restorer = restorer
        self._rooms = rooms
        self._every_s = every_s

    async def run(self) -> None:
        """Reconcile at once, then at the interval and after each outage of LiveKit or NATS, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._rooms.probe())
            while True:
                self._rooms.wanted.clear()
                await self.reconcile()
                pause_s = self._pause_s()
                try:
                    async with asyncio.timeout(pause_s):
                        await self._rooms.wanted.wait()
                except TimeoutError:
                    continue

    def soon(self) -> None:
        """Reconcile now: NATS is back, and its store may be lost."""
        self._rooms.wanted.set()

    async def reconcile(self) -> None:
        """Run one round."""
        self._restorer.silent.clear()
        self._made_ms = 0
        all_told = self._conductor.time.now_ms() >= self._board.nodes.judge_from_ms
        restored = [await self._run(part) for part in (self._check_log, self._check_former, self._check_jobs)]
        if all_told and all(restored) and self._all_judged:
            self.restored_ms = self._made_ms
        await self._run(self._rooms.check)
        await self._run(self._check_slots)

    async def _run(self, part: Callable[[], Awaitable[None]]) -> bool:
        """Run one part; False: it failed, or we lead no more."""
        name = part.__name__.removeprefix("_check_")
        try:
            if self._conductor.is_acting:
                await part()
                return True
        except Unavailable as error:
            log.warning("reconcile.postponed", part=name, reason=str(error))
        except Exception:
            log.exception("reconcile.bug", part=name)
        return False

    def _pause_s(self) -> float:
        """Until the next round: short while NATS is away, or while callers wait for what a new log lacks."""
        if not self._made_ms:
            return min(self._every_s, _LOG_RETRY_S)
        left_ms = self._board.nodes.judge_from_ms - self._conductor.time.now_ms()
        if self.restored_ms == self._made_ms or left_ms < -1000 * RESTORE_RETRY_S:
            return self._every_s
        return min(self._every_s, max(_LOG_RETRY_S, left_ms / 1000))

    async def _check_log(self) -> None:
        outages = self._conductor.beginnings.outages  # an outage during the comparison needs another one
        made_ms = await self._restorer.made_ms()
        await self._restorer.restore_all(self._board.roster.open_sessions())
        self._conductor.beginnings.compared = outages
        self._made_ms = made_ms

    async def _check_former(self) -> None:
        """Restore what the log lost between two terms of this process, if it has its room.

        Another leader that this process did not see deleted the room of each session that it ended, and LiveKit still
        knows that when NATS lost its store. A running job without a room is restored by its node.
        """
        former = [s for s in self.former if s.session_id not in self._board.roster]
        rooms = await self._rooms.present([s.session_id for s in former])
        await self._restorer.restore_all(s for s in former if s.session_id in rooms)
        self.former = ()

    async def _check_slots(self) -> None:
        mark = self._board.slots.mark()
        held = await self._slots.held()
        self._board.slots.read({key: entry.session_id for key, entry in held.items()}, mark)
        figures.SLOTS.set(len(held))
        for key, entry in held.items():
            if entry.slot is None:
                await self._sweep_unreadable(key, entry)
            elif await self._is_spare(key, entry):
                log.warning("slot.stale_released", session_id=entry.session_id, slot=key)
                await self._slots.release(key, entry.session_id)
                self._board.slots.released(key, entry.session_id)
        self._conductor.capacity_changed()

    async def _sweep_unreadable(self, key: int, entry: HeldSlot) -> None:
        """Count an unreadable slot as held for a minute; kept any longer, it would be lost for good."""
        if self._age_ms(entry) <= reconciling.SLOT_MARGIN_MS:
            return
        figures.SLOTS_SWEPT.inc()
        log.error("slot.unreadable_swept", slot=key, revision=entry.revision)
        await self._slots.sweep(key, entry)
        self._board.slots.released(key, entry.session_id)

    async def _is_spare(self, key: int, entry: HeldSlot) -> bool:
        session_id, roster = entry.session_id, self._board.roster
        facts = roster.facts(session_id)
        own_key = None if facts is None else facts.slot
        fate = reconciling.slot_fate(key, roster.session(session_id), own_key, self._age_ms(entry))
        return fate is SlotFate.RELEASE or (fate is SlotFate.ASK_LOG and await self._has_ended(entry))

    async def _has_ended(self, entry: HeldSlot) -> bool:
        """Whether a slot's session has ended by the log; if the log lost its beginning, by the longest session."""
        stands = await self._restorer.standing(entry.session_id, entry.taken_ms)
        if stands is not Standing.LOST:
            return stands is Standing.ENDED
        self._restorer.report_loss(entry.session_id, "slot")
        nodes, longest_ms = self._board.fleet.states(), self._board.limits.session_ms
        return reconciling.has_outlived(entry.session_id, nodes, self._age_ms(entry), longest_ms)

    def _age_ms(self, entry: HeldSlot) -> int:
        return self._conductor.time.bus_ms() - entry.taken_ms

    async def _check_jobs(self) -> None:
        stale, unknown = reconciling.stale_jobs(self._board.fleet.states(), self._board.roster.session)
        sessions = list(dict.fromkeys(job.session_id for job in unknown))
        judged = set(self._unknown.of(sessions))  # all jobs of a session at once: only the newest one is restored
        stale += await self._restorer.judge_all([job for job in unknown if job.session_id in judged], self._before)
        self._all_judged = len(judged) == len(sessions)
        for job in stale:
            log.warning("job.stale", session_id=job.session_id, node_id=job.node_id, epoch=job.epoch)
            self._conductor.stop_job(job.session_id, job.epoch, job.node_id, job.reason)
