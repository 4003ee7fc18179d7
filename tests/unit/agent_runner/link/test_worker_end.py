"""The link between supervisor and worker: the messages, and the worker's end of the socket."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent_runner.link.messages import (
    MAX_PACKET_BYTES,
    Beat,
    Caller,
    End,
    Failed,
    Heard,
    Joined,
    PacketError,
    Prejoin,
    Ready,
    Rejoin,
    Removed,
    Speak,
    Stopped,
    ToSupervisor,
    ToWorker,
    Turn,
    Unreachable,
    decode_to_supervisor,
    decode_to_worker,
    encode,
)
from agent_runner.link.worker_end import History, LinkSocket
from contracts.causes import Cause
from tests.support.commands import go

TO_WORKER: list[ToWorker] = [
    go(opening_line="Grüß Gott!", has_history=True, traceparent="00-1-2-01", log_file="/logs/a"),
    Prejoin(session_id="session_1", url="ws://127.0.0.1:7880", token="t.t.t", caller_identity="caller:session_1"),
    End(how="say", text="Goodbye."),
    Speak(text="One minute left.", patience_s=12.0),
    Rejoin(),
]
TO_SUPERVISOR: list[ToSupervisor] = [
    Ready(pid=7),
    Joined(stage_ms={"join": 130}),
    Heard(stage_ms={"heard": 200}),
    Caller(in_room=True),
    Turn(n=1, user_text="What time is it?", heard_text="It is", interrupted=True, stage_ms={"total": 900}),
    Beat(caller_in_room=False),
    Failed(provider="stt", detail="HTTP 401"),
    Unreachable(end="back", ms=3_200, again_ms=1_400),
    Removed(duplicate=True, reason="DUPLICATE_IDENTITY"),
    Stopped(cause=Cause.PROVIDER_FAILED, detail="stt"),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: m.kind)
def test_what_the_supervisor_says_arrives_as_it_was(message: ToWorker) -> None:
    assert decode_to_worker(encode(message)) == message


@pytest.mark.parametrize("message", TO_SUPERVISOR, ids=lambda m: m.kind)
def test_what_the_worker_says_arrives_as_it_was(message: ToSupervisor) -> None:
    assert decode_to_supervisor(encode(message)) == message


@given(st.text(max_size=500), st.text(max_size=500), st.booleans())
def test_any_words_arrive_as_they_were(user: str, agent: str, interrupted: bool) -> None:
    turn = Turn(n=3, user_text=user, heard_text=agent, interrupted=interrupted)
    try:
        packet = encode(turn)
    except ValueError:  # half a surrogate pair is not text
        assert any(0xD800 <= ord(c) <= 0xDFFF for c in user + agent)
        return
    assert decode_to_supervisor(packet) == turn


@pytest.mark.parametrize(
    "packet",
    [b"", b"no json", b"[]", b'{"kind":"go"}', b'{"kind":"dance"}', encode(Ready(pid=1)), b'{"kind":"end","how":"x"}'],
)
def test_what_is_no_message_of_the_supervisor_is_refused(packet: bytes) -> None:
    with pytest.raises(PacketError):
        decode_to_worker(packet)


def test_a_refusal_does_not_repeat_the_token() -> None:
    with pytest.raises(PacketError) as refused:
        decode_to_worker(encode(go(token="very-secret")).replace(b'"epoch":1', b'"epoch":"very-secret"'))
    assert "very-secret" not in str(refused.value)
    assert "epoch" in str(refused.value)


def test_a_message_that_fits_no_packet_is_refused() -> None:
    with pytest.raises(PacketError, match="bytes"):
        encode(Speak(text="x" * MAX_PACKET_BYTES))


class Ends:
    """Both ends of a link; the worker's is a LinkSocket."""

    def __init__(self) -> None:
        self.supervisor, self._sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.setblocking(False)
        self.got: list[tuple[ToWorker, History]] = []
        self.closed = asyncio.Event()
        self.worker = LinkSocket(
            self._sock, lambda message, history: self.got.append((message, history)), self.closed.set
        )

    def read(self) -> list[ToSupervisor]:
        messages: list[ToSupervisor] = []
        while True:
            try:
                messages.append(decode_to_supervisor(self.supervisor.recv(MAX_PACKET_BYTES)))
            except BlockingIOError:
                return messages

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        self.supervisor.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


async def test_the_longest_prompt_passes_even_if_every_letter_is_escaped(ends: Ends) -> None:
    longest = go(system_prompt="\x01" * 32_000)
    ends.supervisor.send(encode(longest))
    await settle()
    assert ends.got == [(longest, [])]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_full_socket_drops_beats_and_delays_turns(ends: Ends) -> None:
    beat = Beat(caller_in_room=True)
    turns = [Turn(n=n, user_text="x" * 5000, heard_text="", interrupted=False) for n in range(100)]
    for turn in turns:
        ends.worker.send(turn)
        ends.worker.send(beat)
    got: list[ToSupervisor] = []
    while sum(isinstance(m, Turn) for m in got) < len(turns):
        got += ends.read()
        await asyncio.sleep(0)
    assert [m for m in got if isinstance(m, Turn)] == turns
    assert 0 < sum(isinstance(m, Beat) for m in got) < len(turns)
    await ends.worker.drain(1)


async def test_the_history_comes_with_its_go(ends: Ends) -> None:
    memory = os.memfd_create("history")
    os.write(memory, b'[{"role":"user","content":"my name is Bob"}]')
    socket.send_fds(ends.supervisor, [encode(go(has_history=True))], [memory])
    await settle()
    assert ends.got == [(go(has_history=True), [{"role": "user", "content": "my name is Bob"}])]


@pytest.mark.parametrize("content", [b"no json", b'{"role":"user"}', b'[{"role":"user"}]', b" " * 300_000])
async def test_a_go_with_a_broken_history_is_refused(ends: Ends, content: bytes) -> None:
    memory = os.memfd_create("history")
    os.write(memory, content)
    socket.send_fds(ends.supervisor, [encode(go(has_history=True))], [memory])
    ends.supervisor.send(encode(Rejoin()))
    await settle()
    assert ends.got == [(Rejoin(), [])]


async def test_a_supervisor_that_is_gone_is_noticed_once_and_sending_goes_on_quietly(ends: Ends) -> None:
    ends.supervisor.close()
    await settle()
    assert ends.closed.is_set()
    ends.worker.send(Ready(pid=1))
    await ends.worker.drain(1)


async def test_the_first_message_that_a_full_queue_discards_is_logged(ends: Ends) -> None:
    with capture_logs() as lines:
        for n in range(3000):
            ends.worker.send(Turn(n=n, user_text="x" * 5000, heard_text="", interrupted=False))

    assert [(line["event"], line["discarded"]) for line in lines] == [("link.full", "turn")]
