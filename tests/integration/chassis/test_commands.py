"""Commands: a typed reply, or a typed reason why there is none."""

import asyncio
import time

import pytest

from chassis.nats import BadReply, Bus, BusUnavailable, CommandTimeout, NoResponder
from contracts.commands import DRAIN, END, Command, CommandFailed, DrainNode, EndJob, JobEnded, NodeDraining
from contracts.errors import NO_CAPACITY, Refused
from tests.support.responding import respond
from tests.support.servers import NatsServer

SUBJECT = "voice.v1.node.n1.end"
JOB = EndJob(session_id="session_1", epoch=1, reason="test")
HERE = END.at("n1")


async def ended(_command: EndJob) -> JobEnded:
    return JobEnded(found=True, served_ms=5, process_gone=True)


async def test_a_command_gets_its_reply(bus: Bus) -> None:
    responder = respond(bus, SUBJECT, ended)
    await responder.start()

    assert await bus.request(HERE, JOB) == JobEnded(found=True, served_ms=5, process_gone=True)
    await responder.stop()


async def test_a_dead_node_is_known_at_once(bus: Bus) -> None:
    with pytest.raises(NoResponder):  # not CommandTimeout
        await bus.request(HERE, JOB)


async def test_a_silent_node_costs_the_timeout(bus: Bus) -> None:
    async def hang(_command: EndJob) -> JobEnded:
        await asyncio.sleep(5)
        raise AssertionError

    responder = respond(bus, SUBJECT, hang)
    await responder.start()
    started = time.monotonic()

    with pytest.raises(CommandTimeout):
        await bus.request(HERE, JOB, timeout_s=0.3)

    assert time.monotonic() - started < 4


async def test_a_handler_that_hangs_is_answered_for(bus: Bus) -> None:
    async def hang(_command: EndJob) -> JobEnded:
        await asyncio.Event().wait()
        raise AssertionError

    responder = respond(bus, SUBJECT, hang, timeout_s=0.1)
    await responder.start()

    reply = await bus.request(HERE, JOB)

    assert isinstance(reply, CommandFailed)
    assert (reply.code, reply.retryable) == ("timeout", True)
    await responder.stop()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"session_id": "../etc"}', b"\xff"])
async def test_a_malformed_command_is_answered(bus: Bus, body: bytes) -> None:
    responder = respond(bus, SUBJECT, ended)
    await responder.start()

    answer = await bus.nc.request(SUBJECT, body, timeout=1)

    reply = CommandFailed.model_validate_json(answer.data)
    assert (reply.code, reply.retryable) == ("invalid_command", False)
    await responder.stop()


async def test_a_handler_that_fails_is_answered_without_our_insides(bus: Bus) -> None:
    async def bug(_command: EndJob) -> JobEnded:
        raise RuntimeError("the secret sauce")

    responder = respond(bus, SUBJECT, bug)
    await responder.start()

    reply = await bus.request(HERE, JOB)

    assert isinstance(reply, CommandFailed)
    assert reply.code == "internal"
    assert "sauce" not in reply.detail
    await responder.stop()


async def test_a_refusal_keeps_its_code(bus: Bus) -> None:
    async def full(_command: EndJob) -> JobEnded:
        raise Refused(NO_CAPACITY, "all slots are taken")

    responder = respond(bus, SUBJECT, full)
    await responder.start()

    reply = await bus.request(HERE, JOB)

    assert reply == CommandFailed(code="no_capacity", detail="all slots are taken", retryable=True)
    await responder.stop()


async def test_a_reply_of_another_shape_is_told(bus: Bus) -> None:
    responder = respond(bus, SUBJECT, ended)
    await responder.start()
    other = Command(SUBJECT, EndJob, NodeDraining)

    with pytest.raises(BadReply):
        await bus.request(other, JOB)
    await responder.stop()


async def test_workers_carry_out_commands_beside_each_other(bus: Bus) -> None:
    async def slow(_command: DrainNode) -> NodeDraining:
        await asyncio.sleep(0.3)
        return NodeDraining(jobs=0)

    responder = respond(bus, "voice.v1.node.n1.drain", slow, max_workers=8)
    await responder.start()
    started = time.monotonic()

    await asyncio.gather(*(bus.request(DRAIN.at("n1"), DrainNode(limit_s=1), timeout_s=3) for _ in range(8)))

    assert time.monotonic() - started < 8 * 0.3
    await responder.stop()


async def test_replicas_of_a_queue_share_the_commands(bus: Bus, nats_url: str) -> None:
    other = await Bus.connect(nats_url, name="other")
    counts = [0, 0]

    def counting(n: int) -> object:
        async def count(_command: EndJob) -> JobEnded:
            counts[n] += 1
            return await ended(_command)

        return count

    for n, replica in enumerate((bus, other)):
        await respond(replica, SUBJECT, counting(n), queue="billing").start()  # pyright: ignore[reportArgumentType]
    for _ in range(40):
        await bus.request(HERE, JOB)

    assert sum(counts) == 40
    assert min(counts) > 0
    await other.close()


async def test_while_nats_is_down_a_command_fails_at_once_and_is_not_sent_later(
    bus: Bus, nats_server: NatsServer
) -> None:
    nats_server.kill9()
    await asyncio.sleep(0.1)
    started = time.monotonic()

    with pytest.raises(BusUnavailable):
        await bus.request(HERE, JOB)

    assert time.monotonic() - started < 2


async def test_a_responder_is_there_again_after_a_restart(bus: Bus, nats_server: NatsServer) -> None:
    responder = respond(bus, SUBJECT, ended)
    await responder.start()
    nats_server.restart()

    async with asyncio.timeout(5):
        while True:
            try:
                assert isinstance(await bus.request(HERE, JOB), JobEnded)
                break
            except (BusUnavailable, CommandTimeout, NoResponder):
                await asyncio.sleep(0.05)
    await responder.stop()


async def test_a_stop_answers_what_is_in_hand(bus: Bus, nats_url: str) -> None:
    in_hand = asyncio.Event()

    async def slow(command: EndJob) -> JobEnded:
        in_hand.set()
        await asyncio.sleep(0.4)
        return await ended(command)

    node = await Bus.connect(nats_url, name="node")
    responder = respond(node, SUBJECT, slow)
    await responder.start()
    asking = asyncio.create_task(bus.request(HERE, JOB, timeout_s=2))
    await asyncio.wait_for(in_hand.wait(), 5)

    await responder.stop()
    await node.close()

    assert isinstance(await asking, JobEnded)
