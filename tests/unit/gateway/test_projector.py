"""The projector, against fakes: positions, outages and rebuilds."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from contracts.events import Event
from contracts.tools import RecordedTool
from gateway.domain.read_model import SessionState, fold_all, user_config
from gateway.ports import LoggedEvent
from gateway.projector import Projector
from tests.support.events import SESSION, assigned, at, ended, erased, ready, requested, started, turn
from tests.support.gateway.builders import node
from tests.support.gateway.fakes import FakeLog, FakePrejoinedRooms, FakeReadModel, FakeRegistry, FakeWords
from tests.support.waiting import until


@asynccontextmanager
async def projecting(
    log: FakeLog,
    model: FakeReadModel,
    registry: FakeRegistry | None = None,
    words: FakeWords | None = None,
    **rooms: str | None,
) -> AsyncIterator[None]:
    prejoined = FakePrejoinedRooms(**rooms)
    task = asyncio.create_task(Projector(log, model, registry or FakeRegistry(), prejoined, words or FakeWords()).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_log_shows_in_the_read_model_with_its_position() -> None:
    log, model = FakeLog(requested(), assigned(), turn(heard="Hi Ann!"), ready(), started()), FakeReadModel()

    async with projecting(log, model):
        await until(lambda: model.at == "5")

    assert model.stored[SESSION] == fold_all(log.events)
    assert model.configs == {"Ann": user_config(requested())}


async def test_it_reads_on_where_the_read_model_says_that_it_was() -> None:
    log, model = FakeLog(requested(), assigned(), ready()), FakeReadModel()
    before = fold_all([requested(), assigned()])
    assert before is not None
    model.at, model.stored = "2", {SESSION: before}

    async with projecting(log, model):
        await until(lambda: model.at == "3")

    assert model.writes == 1
    assert model.stored[SESSION] == fold_all(log.events)


async def test_an_emptied_read_model_is_rebuilt_as_it_was() -> None:
    log, model = FakeLog(requested(), assigned(), ready(), started(), ended()), FakeReadModel()
    registry = FakeRegistry([node("n1")])
    async with projecting(log, model, registry):
        await until(lambda: model.at == "5")
    before = (model.stored, model.configs, model.at, model.pool)

    model.flush()
    async with projecting(log, model, registry):
        await until(lambda: model.at == "5")

    assert (model.stored, model.configs, model.at, model.pool) == before
    assert model.pool == {"n1:0"}


async def test_the_rooms_that_wait_are_mirrored_beside_the_warm_workers() -> None:
    log, model = FakeLog(requested()), FakeReadModel()

    async with projecting(log, model, FakeRegistry([node("n1")]), session_ahead=None):
        await until(lambda: model.at == "1")
        await asyncio.sleep(0.05)

    assert model.pool == {"n1:0", "session_ahead"}


async def test_the_pool_follows_the_registry_while_the_log_stands_still() -> None:
    log, model, registry = FakeLog(requested()), FakeReadModel(), FakeRegistry([node("n1")])

    async with projecting(log, model, registry):
        await until(lambda: model.at == "1")
        registry.node_states = [node("n1", warm=2)]
        await until(lambda: model.pool == {"n1:0", "n1:1"}, 2)


async def test_what_a_former_version_wrote_is_written_again_before_the_log_is_read() -> None:
    log, model = FakeLog(requested()), FakeReadModel()

    async with projecting(log, model):
        await until(lambda: model.at == "1")
    async with projecting(log, model):
        await asyncio.sleep(0.05)

    assert model.written_again == 1


async def test_an_outage_of_redis_is_waited_out() -> None:
    log, model = FakeLog(requested()), FakeReadModel()
    model.is_away = True

    async with projecting(log, model):
        await asyncio.sleep(0.05)
        assert model.at is None
        model.is_away = False
        await until(lambda: model.at == "1")


class OvertakenOnce(FakeReadModel):
    """As its first reader reads, another projector writes."""

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        if self.writes == 0:
            state = fold_all([requested()])
            assert state is not None
            await self.write([state], {}, at=None, then="1")
        return await super().states(session_ids)


async def test_a_projector_that_was_overtaken_goes_on_from_there() -> None:
    log, model = FakeLog(requested(), assigned()), OvertakenOnce()

    async with projecting(log, model):
        await until(lambda: model.at == "2")

    assert model.stored[SESSION] == fold_all(log.events)
    assert model.writes == 2, "the other's and its own"


class Choking(FakeReadModel):
    """Fails with a bug at one session's state, and counts the others."""

    async def write(
        self,
        states: Iterable[SessionState],
        user_configs: Mapping[str, Mapping[str, str]],
        *,
        at: str | None,
        then: str,
    ) -> None:
        states = list(states)
        if any(state.session_id == "session_bad" for state in states):
            raise OverflowError("date value out of range")
        await super().write(states, user_configs, at=at, then=then)


class InOneBatch(FakeLog):
    async def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[LoggedEvent]]:
        records = [LoggedEvent(seq, event) for seq, event in enumerate(self.events, start=1)]
        while True:
            yield records[(since or 1) - 1 :]
            records = []
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("log_type", [FakeLog, InOneBatch])
async def test_a_record_that_cannot_be_projected_is_skipped_and_all_others_are_shown(log_type: type[FakeLog]) -> None:
    bad = requested().model_copy(update={"session_id": "session_bad"})
    log, model = log_type(requested(), bad, assigned(), ready()), Choking()

    async with projecting(log, model):
        await until(lambda: model.at == "4")

    assert set(model.stored) == {SESSION}
    assert model.stored[SESSION] == fold_all([requested(), assigned(), ready()])


async def test_a_state_that_is_missing_is_made_again_from_the_log() -> None:
    log, model = FakeLog(requested(), assigned(), ready()), FakeReadModel()
    model.at = "2"  # and its state is gone, or could not be read

    async with projecting(log, model):
        await until(lambda: model.at == "3")

    assert model.stored[SESSION] == fold_all(log.events)


async def test_the_tools_of_a_session_stay_out_of_the_read_model() -> None:
    tool = RecordedTool(name="look", url="https://host/", parameters={"type": "object"})
    log, model = FakeLog(requested().model_copy(update={"tools": (tool,)})), FakeReadModel()

    async with projecting(log, model):
        await until(lambda: model.at == "1")

    assert model.stored[SESSION].requested == requested()


@pytest.mark.parametrize("log_type", [FakeLog, InOneBatch])
async def test_an_erased_session_keeps_no_word_and_its_key_is_erased_again(log_type: type[FakeLog]) -> None:
    """Also when the gateway that announced the erasure stopped before it erased the key."""
    log, model, words = log_type(requested(), turn(n=1, user="Hi"), ended()), FakeReadModel(), FakeWords()
    words.secrets[SESSION] = "secret"
    async with projecting(log, model, words=words):
        await until(lambda: model.at == "3")
        assert model.configs == {"Ann": user_config(requested())}

    log.events.append(erased())
    if log_type is InOneBatch:
        model.at, model.stored, model.configs = None, {}, {}  # rebuilt from the log
    async with projecting(log, model, words=words):
        await until(lambda: model.at == "4")

    assert (model.configs, words.secrets) == ({}, {})
    assert "Ann" not in model.stored[SESSION].model_dump_json().replace("ann-1", "")
    assert (model.stored[SESSION].ended, model.stored[SESSION].turns) == (ended(), 1)


@pytest.mark.parametrize("forgotten", ["state", "log"])
async def test_an_erasure_finds_the_name_where_it_still_is(forgotten: str) -> None:
    """Both the state and the log have it at first: a rebuild makes the state clean, and the log forgets."""
    log, model, words = FakeLog(requested(), ended()), FakeReadModel(), FakeWords()
    async with projecting(log, model, words=words):
        await until(lambda: model.at == "2")
    if forgotten == "state":
        model.stored = {}
    else:
        log.events[0] = assigned()

    log.events.append(erased())
    async with projecting(log, model, words=words):
        await until(lambda: model.at == "3")

    assert (model.configs, words.erased) == ({}, {SESSION})


async def test_an_erasure_leaves_the_configuration_of_a_later_start() -> None:
    later = requested("session_later", time=at(100), voice_id="Dennis")
    log, model = FakeLog(requested(), ended(), later, erased()), FakeReadModel()

    async with projecting(log, model):
        await until(lambda: model.at == "4")

    assert model.configs == {"Ann": user_config(later)}


async def test_a_start_whose_words_are_gone_makes_no_configuration() -> None:
    log, model = FakeLog(requested(user_name="", opening_line="", system_prompt="", sealed="x")), FakeReadModel()

    async with projecting(log, model):
        await until(lambda: model.at == "1")

    assert model.configs == {}
