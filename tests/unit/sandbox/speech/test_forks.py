"""A session's connection to its recogniser, which may be slow or gone."""

import asyncio
import socket

import pytest

from sandbox.speech.forks import Ear, RecogniserFailed


async def ear_and_recogniser() -> tuple[Ear, socket.socket]:
    ours, theirs = socket.socketpair()
    return Ear(*await asyncio.open_connection(sock=ours)), theirs


async def test_a_session_ends_at_once_though_its_recogniser_takes_no_audio() -> None:
    ear, recogniser = await ear_and_recogniser()
    with recogniser:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ear.feed(bytes(1_000_000))
        async with asyncio.timeout(5):
            await ear.close()


async def test_the_events_of_a_recogniser_that_died_before_audio_was_written_have_ended() -> None:
    ear, recogniser = await ear_and_recogniser()
    recogniser.close()
    with pytest.raises(RecogniserFailed):
        await ear.feed(b"audio")

    assert await ear.hear() is None
    await ear.close()
