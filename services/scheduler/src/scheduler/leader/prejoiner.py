"""Keeps prejoined rooms ready for the next starts, and deletes those whose session never comes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chassis import logs
from contracts.commands import PrejoinRoom
from contracts.events import SessionRequested
from scheduler.domain.board import Board
from scheduler.domain.prejoining import ListedRoom, Prejoining
from scheduler.leader import figures
from scheduler.ports import Nodes, NotAccepted, PrejoinedRooms, Rooms, SessionLog, Unavailable

_LOOK_S: Final = 0.5
_EPOCH: Final = 1
_YOUNGEST: Final = 0.8  # least share of the age limit: rooms that were made together must not expire together

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PrejoinPlan:
    """The settings for prejoined rooms.

    Attributes:
        size: Rooms to keep ready; 0: none.
        max_age_s: How long a room waits at most.
        livekit_url: The URL at which agents join, ws or wss.
        mint: Makes a session id of a time in Unix ms.
        chance: A random number from 0 to 1.
    """

    size: int
    max_age_s: float
    livekit_url: str
    mint: Callable[[int], str]
    chance: Callable[[], float]


class Prejoiner:
    """Watches the bucket, asks nodes for missing rooms, retires surplus ones.

    Attributes:
        caught_up: Set once the present rooms are known.
    """

    def __init__(
        self,
        plan: PrejoinPlan,
        board: Board,
        session_log: SessionLog,
        nodes: Nodes,
        rooms: Rooms,
        prejoined: PrejoinedRooms,
        *,
        now_ms: Callable[[], int],
        is_acting: Callable[[], bool],
    ) -> None:
        self.caught_up = asyncio.Event()
        self._plan = plan
        self._board = board
        self._log = session_log
        self._nodes = nodes
        self._rooms = rooms
        self._prejoined = prejoined
        self._now_ms = now_ms
        self._is_acting = is_acting
        self._state = Prejoining(plan.size, now_ms())

    async def run(self) -> None:
        """Keep the rooms ready until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prejoined.watch(self._changed, self.caught_up))
            await self.caught_up.wait()
            while True:
                await asyncio.sleep(_LOOK_S)
                if not self._is_acting():
                    continue
                for session_id, node_id in self._begin():
                    tasks.create_task(self._join(session_id, node_id))
                try:
                    await self._retire()
                    await self._clean_up()
                except Unavailable as error:
                    log.warning("prejoin.postponed", reason=str(error))
                except Exception:
                    log.exception("prejoin.bug")

    def is_prejoined(self, name: str) -> bool:
        """Whether this room waits for its session, or was claimed a moment ago; any may, before the bucket is read."""
        return not self.caught_up.is_set() or self._state.is_prejoined(name, self._now_ms())

    def _changed(self, session_id: str, room: ListedRoom | None) -> None:
        self._state.changed(session_id, room, self._now_ms())
        figures.PREJOINED.set(len(self._state.ready))

    def _begin(self) -> list[tuple[str, str]]:
        now_ms, fleet = self._now_ms(), self._board.fleet
        nodes = list(fleet.states()) if self._plan.size else []
        return self._state.begin(nodes, fleet.suspended(now_ms), self._board.limits.max_load, self._plan.mint, now_ms)

    async def _join(self, session_id: str, node_id: str) -> None:
        order = PrejoinRoom(
            session_id=session_id,
            url=self._plan.livekit_url,
            token=self._rooms.agent_token(session_id, _EPOCH),
            max_age_s=self._plan.max_age_s * (_YOUNGEST + (1 - _YOUNGEST) * self._plan.chance()),
        )
        try:
            await self._rooms.create(session_id)
            await self._nodes.prejoin(node_id, order)
        except (NotAccepted, Unavailable) as error:
            self._failed(session_id, node_id, str(error))
            return
        except Exception:
            log.exception("prejoin.bug", session_id=session_id)
            self._failed(session_id, node_id, "bug")
            return
        figures.PREJOINS.labels("joined").inc()
        log.info("room.prejoined", session_id=session_id, node_id=node_id)
        self._state.joined(session_id, node_id, self._now_ms())

    def _failed(self, session_id: str, node_id: str, reason: str) -> None:
        pause_s = self._state.failed(session_id, node_id, self._now_ms()) / 1000
        figures.PREJOINS.labels("failed").inc()
        log.warning("room.not_prejoined", session_id=session_id, node_id=node_id, reason=reason, pause_s=pause_s)

    async def _retire(self) -> None:
        for returned in self._state.returned(self._board.fleet.states(), self._now_ms()):
            session_id, node_id = returned.room.session_id, returned.room.node_id
            log.warning("room.key_returned", session_id=session_id, node_id=node_id)
            await self._prejoined.retire(returned)
        for session_id in self._state.surplus():
            listed = self._state.ready.get(session_id)  # None: claimed meanwhile
            if listed is not None:
                log.info("room.retired", session_id=session_id, node_id=listed.room.node_id)
                await self._prejoined.retire(listed)

    async def _clean_up(self) -> None:
        """Delete rooms whose key is gone and whose session never came; that ends their worker, too."""
        for session_id in self._state.unclaimed(self._board.roster.__contains__, self._now_ms()):
            history = await self._log.history(session_id)
            if not any(isinstance(record.event, SessionRequested) for record in history):
                await self._rooms.delete(session_id)
            self._state.deleted(session_id)
