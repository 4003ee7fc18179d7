"""What the scheduler's `Words` promises, by its fake and by NATS; and what only the adapter does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from chassis.nats import Bus
from chassis.words import new_secret, seal
from contracts.registry import WordsKey
from contracts.streams import KEYS
from scheduler.adapters.nats_words import NatsWords
from scheduler.ports import Unavailable, Words, WordsLost
from tests.support.events import SESSION, requested
from tests.support.servers import NatsServer
from tests.support.words import FakeWords

SECRET = new_secret()
SEALED = seal(requested(), SECRET)


@dataclass
class Keys:
    """The port, and the key in its store: none, or a secret, empty once it is erased."""

    words: Words
    write: Callable[[str], Awaitable[None]]
    lose: Callable[[], Awaitable[None]]
    stored: Callable[[], Awaitable[str]]


@pytest.fixture
def fake() -> Keys:
    words = FakeWords()

    async def write(secret: str) -> None:
        words.secrets[SESSION] = secret

    async def lose() -> None:
        words.lose(SESSION)

    async def stored() -> str:
        return words.secrets[SESSION]

    return Keys(words, write, lose, stored)


@pytest.fixture
def nats(bus: Bus) -> Keys:
    async def lose() -> None:
        await bus.bucket(KEYS).delete(SESSION)

    async def stored() -> str:
        entry = await bus.bucket(KEYS).get(SESSION)
        assert entry is not None
        assert entry.value is not None
        return entry.value.secret

    return Keys(words(bus), lambda secret: write(bus, secret), lose, stored)


@pytest.fixture(params=["fake", "nats"])
def keys(request: pytest.FixtureRequest) -> Keys:
    return request.getfixturevalue(request.param)


def words(bus: Bus, kept_s: float = 60) -> NatsWords:
    return NatsWords(bus, kept_s=kept_s)


async def write(bus: Bus, secret: str) -> None:
    await bus.bucket(KEYS).put(SESSION, WordsKey(secret=secret, at=datetime.now(UTC)))


async def test_a_request_is_opened_with_the_key_of_its_session(keys: Keys) -> None:
    await keys.write(SECRET)
    keys.words.expect(SEALED)

    assert await keys.words.open(SEALED) == (requested(), SECRET)
    assert await keys.words.open(requested()) == (requested(), "")


@pytest.mark.parametrize("left", [None, "", new_secret()], ids=["gone", "erased", "another's"])
async def test_words_that_no_key_opens_are_lost(keys: Keys, left: str | None) -> None:
    if left is not None:
        await keys.write(left)
    with pytest.raises(WordsLost):
        await keys.words.open(SEALED)


async def test_an_unreadable_key_opens_nothing(bus: Bus) -> None:
    await bus.bucket(KEYS).put(SESSION, b"{")
    with pytest.raises(WordsLost):
        await words(bus).open(SEALED)


async def test_nats_that_is_away_does_not_mean_that_the_key_is_lost(bus: Bus, nats_server: NatsServer) -> None:
    await write(bus, SECRET)
    found = words(bus)
    nats_server.kill9()
    with pytest.raises(Unavailable):
        await found.open(SEALED)
    nats_server.restart()

    opened = None
    for _ in range(20):
        try:
            opened = await found.open(SEALED)
            break
        except Unavailable:
            await asyncio.sleep(0.25)
    assert opened == (requested(), SECRET)


async def test_a_store_that_lost_the_key_gets_it_again_while_the_session_is_open(keys: Keys) -> None:
    await keys.write(SECRET)
    await keys.words.open(SEALED)
    await keys.lose()

    again = await keys.words.write_again(requested(), "")

    assert await keys.stored() == SECRET
    assert (again.user_name, again.sealed != "") == ("", True)


async def test_an_erased_key_is_not_written_again(keys: Keys) -> None:
    await keys.write(SECRET)
    await keys.words.open(SEALED)
    await keys.write("")

    await keys.words.write_again(requested(), SECRET)

    assert await keys.stored() == ""


@pytest.mark.parametrize("by_time", [False, True])
async def test_no_secret_stays_in_memory_after_its_session(bus: Bus, by_time: bool) -> None:
    await write(bus, SECRET)
    found = words(bus, kept_s=0.05 if by_time else 60)
    await found.open(SEALED)
    if by_time:
        await asyncio.sleep(0.2)
    else:
        found.ended(SESSION)
    await write(bus, "")

    assert (await found.write_again(requested(), "")).sealed == ""
    with pytest.raises(WordsLost):
        await found.open(SEALED)
