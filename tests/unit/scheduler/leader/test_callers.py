"""Webhooks about callers: early, late, out of order and more than once."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.room_events import RoomEvent
from scheduler.domain.facts import CallerJoined, CallerLeft, CallerSeen, Facts, learn
from scheduler.domain.limits import Limits
from scheduler.handlers import Handlers
from scheduler.ports import RoomRecord
from tests.support.events import SESSION, T0, requested
from tests.support.scheduler.builders import at_ms
from tests.support.scheduler.world import Leader, World


class Scene:
    def __init__(self, *, known: bool = True) -> None:
        self.world = World(Limits())
        self.leader = Leader(self.world)
        self.handlers = Handlers(self.leader.conductor, self.leader.rooms)
        if known:
            self.begin()

    def begin(self) -> None:
        self.world.write(requested())
        self.handlers.on_record(self.world.records[-1])

    def hook(
        self, name: str, ms: int, sid: str | None = "PA_1", *, session_id: str = SESSION, who: str = "caller"
    ) -> None:
        event = RoomEvent(
            id=f"EV_{ms}",
            event=f"participant_{name}",
            session_id=session_id,
            time=at_ms(T0 + ms),
            participant_identity=f"{who}:{session_id}",
            participant_sid=sid,
        )
        self.handlers.on_webhook(RoomRecord(event, T0 + ms))

    @property
    def caller(self) -> tuple[bool | None, int | None]:
        facts = self.leader.board.facts(SESSION, T0)
        return facts.caller_here, None if facts.caller_left_ms is None else facts.caller_left_ms - T0


async def test_a_caller_who_comes_before_the_start_is_read_is_there() -> None:
    scene = Scene(known=False)
    scene.hook("joined", 5)
    scene.begin()
    assert scene.caller == (True, None)


async def test_what_comes_early_is_bounded() -> None:
    scene = Scene(known=False)
    scene.hook("joined", 1)
    for n in range(1_000):
        scene.hook("joined", 2, session_id=f"session_{n}_other")
    scene.begin()
    assert scene.caller == (None, None)  # the oldest was dropped; the reconciler asks LiveKit


async def test_a_replayed_arrival_does_not_bring_the_caller_back() -> None:
    scene = Scene()
    scene.hook("joined", 5)
    scene.hook("left", 1_000)
    scene.hook("joined", 130_000)  # the same stay, after the stream has forgotten the webhook's id
    assert scene.caller == (False, 1_000)


async def test_a_replayed_departure_does_not_prolong_the_grace() -> None:
    scene = Scene()
    scene.hook("joined", 5)
    scene.hook("left", 1_000)
    scene.hook("left", 20_000)
    assert scene.caller == (False, 1_000)
    scene.hook("left", 25_000, sid=None)
    assert scene.caller == (False, 1_000)


async def test_a_caller_who_came_back_is_there_whatever_is_told_of_the_first_stay() -> None:
    scene = Scene()
    scene.hook("joined", 5)
    scene.hook("joined", 900, sid="PA_2")
    scene.hook("left", 1_000)  # of the first stay, late
    assert scene.caller == (True, None)
    scene.hook("left", 2_000, sid="PA_2")
    assert scene.caller == (False, 2_000)
    for sid in ("PA_1", "PA_2"):
        scene.hook("joined", 200_000, sid=sid)
    assert scene.caller == (False, 2_000)


async def test_a_list_that_was_read_before_a_stay_ended_does_not_bring_the_caller_back() -> None:
    scene = Scene()
    scene.hook("joined", 5)
    scene.hook("left", 1_000)
    scene.leader.conductor.learn(SESSION, CallerSeen("PA_1", T0 + 1_010, was_here=True))
    assert scene.caller == (False, 1_000)
    scene.leader.conductor.learn(SESSION, CallerSeen("PA_2", T0 + 2_000, was_here=True))
    assert scene.caller == (True, None)


async def test_the_agents_comings_and_goings_are_not_the_callers() -> None:
    scene = Scene(known=False)
    scene.hook("joined", 5, who="agent")
    scene.begin()
    scene.hook("left", 9, who="agent")
    assert scene.caller == (None, None)


@given(st.permutations([CallerJoined, CallerLeft, CallerJoined, CallerLeft]), st.permutations(["A", "B", "C"]))
def test_a_caller_whose_stays_have_all_ended_is_away_in_whatever_order_it_is_told(
    kinds: list[type], sids: list[str]
) -> None:
    facts = Facts()
    for sid in sids:
        for kind in kinds:
            facts = learn(facts, CallerLeft(sid, T0) if kind is CallerLeft else CallerJoined(sid))
    assert facts.caller_here is False
    assert facts.caller_left_ms == T0
    assert all(learn(facts, CallerJoined(sid)) is facts for sid in sids)
