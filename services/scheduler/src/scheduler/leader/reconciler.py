"""Every 15 s: compares the log, LiveKit's rooms, the slots and the nodes' jobs, and repairs what differs.

Webhooks and watches only make things faster; the reconciler finds the same differences without them.
"""

import asyncio
from typing import Final

from chassis import logs
from scheduler.domain import reconciling
from scheduler.domain.reconciling import SlotFate
from scheduler.domain.standing import Standing
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.leader.restorer import Restorer
from scheduler.leader.room_repair import RoomRepair
from scheduler.ports import HeldSlot, Slots, Unavailable

_LOG_RETRY_S: Final = 1.0  # a caller who leaves meanwhile is billed by what the log has
_REPAIRS: Final = 200  # jobs of unknown sessions in one round; the next one goes on

log = logs.get_logger(__name__)


class Reconciler:
    """Repairs in rounds; each part fails alone, and the next round retries it."""

    def __init__(
        self, conductor: Conductor, slots: Slots, restorer: Restorer, rooms: RoomRepair, *, every_s: float
    ) -> None:
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
                pause_s = self._every_s if await self.reconcile() else min(self._every_s, _LOG_RETRY_S)
                try:
                    async with asyncio.timeout(pause_s):
                        await self._rooms.wanted.wait()
                except TimeoutError:
                    continue

    def soon(self) -> None:
        """Reconcile now: NATS is back, and its store may be lost."""
        self._rooms.wanted.set()

    async def reconcile(self) -> bool:
        """Run one round; returns whether the log could be checked."""
        has_log = True
        for part in (self._check_log, self._rooms.check, self._check_slots, self._check_jobs):
            if not self._conductor.is_acting:
                break
            name = part.__name__.removeprefix("_check_")
            try:
                await part()
            except Unavailable as error:
                has_log = has_log and part != self._check_log
                log.warning("reconcile.postponed", part=name, reason=str(error))
            except Exception:
                log.exception("reconcile.bug", part=name)
        return has_log

    async def _check_log(self) -> None:
        await self._restorer.restore_all(self._board.roster.open_sessions())

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
        self._restorer.name(entry.session_id, "slot")
        nodes, longest_ms = self._board.fleet.states(), self._board.limits.session_ms
        return reconciling.has_outlived(entry.session_id, nodes, self._age_ms(entry), longest_ms)

    def _age_ms(self, entry: HeldSlot) -> int:
        return self._conductor.time.bus_ms() - entry.taken_ms

    async def _check_jobs(self) -> None:
        stale, unknown = reconciling.stale_jobs(self._board.fleet.states(), self._board.roster.session)
        for job in unknown[:_REPAIRS]:
            match await self._restorer.standing(job.session_id, None):
                case Standing.ENDED:
                    stale.append(job)
                case Standing.LOST:
                    await self._restorer.restore(job)
                case Standing.OPEN:
                    pass
        for job in stale:
            log.warning("job.stale", session_id=job.session_id, node_id=job.node_id, epoch=job.epoch)
            self._conductor.stop_job(job.session_id, job.epoch, job.node_id, job.reason)
