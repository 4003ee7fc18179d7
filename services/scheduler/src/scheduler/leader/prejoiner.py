"""Keeps rooms with an agent in them ready for the next starts, and leaves none behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from contracts.commands import PrejoinRoom
from contracts.events import SessionRequested

from chassis import logs
from scheduler.domain import prejoining
from scheduler.leader import figures
from scheduler.leader.board import Board
from scheduler.ports import ListedRoom, Nodes, NotAccepted, PrejoinedRooms, Rooms, SessionLog, Unavailable

_LOOK_S: Final = 0.5
_LISTED_S: Final = 5.0  # from a node's yes to the watch telling of the room
_EPOCH: Final = 1
_PAUSES_S: Final = (1.0, 30.0)
_YOUNGEST: Final = 0.8  # rooms that were made together do not age together

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PrejoinPlan:
    """What the settings say.

    Attributes:
        size: Rooms to hold ready; 0: none.
        max_age_s: How long a room waits at most.
        livekit_url: The URL that the agents join at, ws or wss.
        mint: Makes a session id, of the present time in Unix ms.
        chance: A number from 0 to 1, a new one at each call.
    """

    size: int
    max_age_s: float
    livekit_url: str
    mint: Callable[[int], str]
    chance: Callable[[], float]


@dataclass(slots=True)
class _Joining:
    node_id: str
    until_ms: int | None = None  # None: the node has not answered yet


class Prejoiner:
    """One leader's: counts what the bucket holds, asks nodes for the rest, deletes rooms that came to nothing."""

    def __init__(
        self,
        plan: PrejoinPlan,
        board: Board,
        session_log: SessionLog,
        nodes: Nodes,
        rooms: Rooms,
        offered: PrejoinedRooms,
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
        self._offered = offered
        self._now_ms = now_ms
        self._is_acting = is_acting
        self._ready: dict[str, ListedRoom] = {}
        self._joining: dict[str, _Joining] = {}
        self._gone: dict[str, int] = {}
        self._began_ms = now_ms()
        self._rest_until_ms = 0
        self._failed_nodes: dict[str, tuple[int, int]] = {}  # failures in a row, and until when to leave it alone

    async def run(self) -> None:
        """Hold the rooms ready, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._offered.watch(self._changed, self.caught_up))
            await self.caught_up.wait()
            while True:
                await asyncio.sleep(_LOOK_S)
                if not self._is_acting():
                    continue
                for session_id in self._wanted():
                    tasks.create_task(self._join(session_id))
                try:
                    await self._retire()
                    await self._clean_up()
                except Unavailable as error:
                    log.warning("prejoin.postponed", reason=str(error))
                except Exception:
                    log.exception("prejoin.bug")

    def is_ahead(self, name: str) -> bool:
        """Whether this room waits for its session, or was taken for one a moment ago.

        A new leader does not know yet which rooms were just taken.
        """
        is_new = self._plan.size > 0 and self._now_ms() - self._began_ms < prejoining.CLAIM_MS
        return is_new or name in self._ready or name in self._joining or name in self._gone

    def _changed(self, session_id: str, room: ListedRoom | None) -> None:
        if room is not None:
            self._ready[session_id] = room
            self._joining.pop(session_id, None)
        elif self._ready.pop(session_id, None) is not None:
            self._gone[session_id] = self._now_ms()
            self._rest_until_ms = max(self._rest_until_ms, self._now_ms() + prejoining.REFILL_MS)
        figures.PREJOINED.set(len(self._ready))

    def _wanted(self) -> list[str]:
        """The ids of the rooms to have joined now, each noted with its node."""
        now_ms = self._now_ms()
        for session_id, joining in list(self._joining.items()):
            if joining.until_ms is not None and now_ms >= joining.until_ms:
                del self._joining[session_id]
                self._gone[session_id] = now_ms
        if now_ms < self._rest_until_ms:
            return []
        fleet = self._board.fleet
        self._failed_nodes = {node_id: failed for node_id, failed in self._failed_nodes.items() if node_id in fleet}
        wanted: list[str] = []
        for _ in range(prejoining.missing(self._plan.size, ready=len(self._ready), joining=len(self._joining))):
            busy = {joining.node_id for joining in self._joining.values()}
            busy |= fleet.resting(now_ms)
            busy |= {node_id for node_id, (_, until_ms) in self._failed_nodes.items() if now_ms < until_ms}
            node = prejoining.choose_node(fleet.states(), busy, max_load=self._board.limits.max_load)
            if node is None:
                break
            session_id = self._plan.mint(now_ms)
            self._joining[session_id] = _Joining(node.node_id)
            wanted.append(session_id)
        return wanted

    async def _join(self, session_id: str) -> None:
        joining = self._joining[session_id]
        order = PrejoinRoom(
            session_id=session_id,
            url=self._plan.livekit_url,
            token=self._rooms.agent_token(session_id, _EPOCH),
            max_age_s=self._plan.max_age_s * (_YOUNGEST + (1 - _YOUNGEST) * self._plan.chance()),
        )
        try:
            await self._rooms.create(session_id)
            await self._nodes.prejoin(joining.node_id, order)
        except (NotAccepted, Unavailable) as error:
            self._failed(session_id, joining.node_id, str(error))
            return
        except Exception:
            log.exception("prejoin.bug", session_id=session_id)
            self._failed(session_id, joining.node_id, "bug")
            return
        self._failed_nodes.pop(joining.node_id, None)
        figures.PREJOINS.labels("joined").inc()
        log.info("room.prejoined", session_id=session_id, node_id=joining.node_id)
        joining.until_ms = self._now_ms() + round(_LISTED_S * 1000)

    def _failed(self, session_id: str, node_id: str, reason: str) -> None:
        failures, _ = self._failed_nodes.get(node_id, (0, 0))
        pause_s = min(_PAUSES_S[1], _PAUSES_S[0] * 2.0 ** min(failures, 10))
        self._failed_nodes[node_id] = failures + 1, self._now_ms() + round(pause_s * 1000)
        self._joining.pop(session_id, None)
        # The node may have joined all the same: as one that was taken, the room is deleted if nothing comes of it.
        self._gone[session_id] = self._now_ms()
        figures.PREJOINS.labels("failed").inc()
        log.warning("room.not_prejoined", session_id=session_id, node_id=node_id, reason=reason, pause_s=pause_s)

    async def _retire(self) -> None:
        for room in prejoining.surplus(self._plan.size, [offered.room for offered in self._ready.values()]):
            offered = self._ready.get(room.session_id)
            if offered is not None:
                log.info("room.retired", session_id=room.session_id, node_id=room.node_id)
                await self._offered.retire(offered)

    async def _clean_up(self) -> None:
        """Delete the rooms whose key went and whose session never came: their worker goes with them."""
        for session_id, gone_ms in list(self._gone.items()):
            if session_id in self._ready or session_id in self._board:
                del self._gone[session_id]
            elif self._now_ms() - gone_ms >= prejoining.CLAIM_MS:
                history = await self._log.history(session_id)
                if not any(isinstance(record.event, SessionRequested) for record in history):
                    await self._rooms.delete(session_id)
                self._gone.pop(session_id, None)
