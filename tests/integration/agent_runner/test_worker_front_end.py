"""What a LiveKit client in the caller's hands sees of the agent, and what the agent reads of the caller's."""

import asyncio
from datetime import timedelta

import pytest
from livekit import api, rtc

from agent_runner.link.messages import End, Joined, Stopped, Turn
from contracts.ids import agent_identity, caller_identity
from contracts.tools import RecordedTool
from tests.integration.agent_runner.client import Client, agent_token
from tests.integration.agent_runner.worker_stage import Fork, Greet, New, Sandbox, go
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer
from tests.support.waiting import until

OPENING = "Hello! How can I help you today?"
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen. "


async def test_a_client_sees_the_agent_its_state_and_what_both_say_and_types_a_turn(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker, caller = await fork(), person()
    client = Client().watch(caller.room)
    await caller.enter(session)
    worker.send(go(livekit, session, token=agent_token(session)))
    await worker.heard(Turn)
    attributes, text = await client.final(agent_identity(session))
    assert text == OPENING
    agent = caller.room.remote_participants[agent_identity(session)]
    assert attributes["lk.transcribed_track_id"] in agent.track_publications
    await client.was_sent(lambda: client.packets[attributes["lk.segment_id"]].final)
    assert client.packets[attributes["lk.segment_id"]].text == OPENING
    await client.was_sent(lambda: client.states[-2:] == ["speaking", "listening"])
    assert client.kinds == {rtc.ParticipantKind.PARTICIPANT_KIND_AGENT}

    await sandbox.control("transcripts", {"texts": ["What time is it?"]})
    await sandbox.control("replies", {"replies": ["It is noon.", "Yes, I can read.", LONG, "All right."]})
    caller.say("What time is it?")
    assert (await worker.heard(Turn, 2)).user_text == "What time is it?"
    attributes, text = await client.final(caller_identity(session))
    assert text == "What time is it?"
    assert attributes["lk.transcribed_track_id"] in caller.room.local_participant.track_publications
    assert (await client.final(agent_identity(session), 2))[1] == "It is noon.", "the last word is in it"
    await client.was_sent(lambda: client.states[-3:] == ["thinking", "speaking", "listening"])

    await caller.type("Can you read this?")
    turn = await worker.heard(Turn, 3)
    assert (turn.user_text, turn.heard_text) == ("Can you read this?", "Yes, I can read.")
    assert (await sandbox.asked())[-1][-1] == {"role": "user", "content": "Can you read this?"}

    await caller.type("Please count.")
    await caller.hears(1.2)
    await caller.type("Stop.")
    counted, stopped = await worker.heard(Turn, 4), await worker.heard(Turn, 5)
    assert (counted.user_text, counted.interrupted) == ("Please count.", True)
    assert 0 < len(counted.heard_text) < len(LONG) / 2
    assert (stopped.user_text, stopped.heard_text) == ("Stop.", "All right.")
    assert (await client.final(agent_identity(session), 4))[1] == counted.heard_text
    heard = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "assistant"]
    assert heard[-1] == counted.heard_text

    supervisor = await person().enter(session, "supervisor", has_microphone=False)
    asked = len(await sandbox.asked())
    await supervisor.type("I am the caller.")
    await caller.type("x" * 1001)
    await asyncio.sleep(1)
    assert len(await sandbox.asked()) == asked
    for n in range(12):
        await caller.type(f"Text {n}")
    await asyncio.sleep(2)
    typed = {m["content"] for messages in await sandbox.asked() for m in messages if m["role"] == "user"}
    assert 1 <= sum(text.startswith("Text ") for text in typed) <= 7


async def test_a_caller_who_comes_after_the_agent_reads_the_opening_line_and_the_goodbye_to_their_ends(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    goodbye = "Our time is up. Goodbye."
    worker, caller = await fork(), person()
    client = Client().watch(caller.room)
    worker.send(go(livekit, session, token=agent_token(session)))
    await worker.heard(Joined)
    await asyncio.sleep(0.5)  # the agent speaks its first word as soon as a caller is there
    await caller.enter(session)
    assert caller.room.remote_participants[agent_identity(session)].attributes["lk.agent.state"]
    await worker.heard(Turn)
    opening, text = await client.final(agent_identity(session))
    assert text == OPENING

    worker.send(End(how="say", text=goodbye))
    assert (await worker.heard(Stopped)).cause == "ended"
    ending, text = await client.final(agent_identity(session), 2)
    assert text == goodbye
    assert [text for who, _, text in client.streams if who == agent_identity(session)] == [OPENING, goodbye]
    packets = [client.packets[attributes["lk.segment_id"]] for attributes in (opening, ending)]
    assert [(packet.text, packet.final) for packet in packets] == [(OPENING, True), (goodbye, True)]


@pytest.mark.parametrize("leaves", ["in mid-answer", "before the answer"])
async def test_a_caller_who_loads_the_page_again_reads_the_whole_answer(
    greet: Greet, sandbox: Sandbox, session: str, person: New, leaves: str
) -> None:
    await sandbox.control("replies", {"replies": [LONG.strip()]})
    worker, caller = await greet()
    await caller.type("Please count.")
    if leaves == "in mid-answer":
        await caller.hears(0.8)
    await caller.leave()
    await asyncio.sleep(2)
    again = person()
    client = Client().watch(again.room)
    await again.enter(session)
    assert (await worker.heard(Turn, 2)).heard_text == LONG.strip()
    assert (await client.final(agent_identity(session)))[1] == LONG.strip()


async def test_an_agent_without_the_grants_serves_the_call(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    """A scheduler of the version before mints its token."""
    grants = api.VideoGrants(room_join=True, room=session, can_publish_data=False, can_update_own_metadata=False)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(agent_identity(session)).with_grants(grants)
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, token=token.with_ttl(timedelta(minutes=10)).to_jwt()))
    assert (await worker.heard(Turn)).heard_text == OPENING
    await until(lambda: caller.loud_s > 1)


async def test_texts_of_one_instant_get_one_answer_and_one_turn(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": ["All three.", "Once more.", "And again."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    await asyncio.gather(*(caller.type(text) for text in ("One.", "Two.", "Three.")))
    turn = await worker.heard(Turn, 2)
    assert (sorted(turn.user_text.split("\n")), turn.heard_text) == (["One.", "Three.", "Two."], "All three.")
    await asyncio.sleep(1)
    assert len(await sandbox.asked()) == 1
    assert sum(isinstance(m, Turn) for m in worker.said) == 2


async def test_an_agent_that_has_nothing_to_say_to_a_tools_result_listens_again(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    call = {"tool_calls": [{"name": "look_up", "arguments": {}}]}
    await sandbox.control("replies", {"replies": [call, "😀"]})
    worker, caller = await fork(), person()
    client = Client().watch(caller.room)
    await caller.enter(session)
    tool = RecordedTool(name="look_up", description="x", url="http://127.0.0.1:1/x", parameters={}, timeout_s=1)
    worker.send(go(livekit, session, token=agent_token(session), opening_line="Hello.", tools=(tool,)))
    await worker.heard(Turn)
    await client.was_sent(lambda: client.states[-1:] == ["listening"])
    await caller.type("Look it up.")
    turn = await worker.heard(Turn, 2)
    assert (turn.user_text, turn.heard_text, turn.interrupted) == ("Look it up.", "", False)
    await client.was_sent(lambda: client.states[-2:] == ["thinking", "listening"])


async def test_text_typed_into_a_protected_line_is_answered_after_it(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    line = "One two three four five six seven eight nine ten eleven twelve."
    await sandbox.control("replies", {"replies": ["All right."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line=line, interruptible=False))
    await caller.hears(1.2)
    await caller.type("Stop it.")
    said, answer = await worker.heard(Turn), await worker.heard(Turn, 2)
    assert (said.heard_text, said.interrupted) == (line, False)
    assert (answer.user_text, answer.heard_text) == ("Stop it.", "All right.")


async def test_text_typed_while_the_caller_speaks_is_answered_with_the_speech(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """Once, after it; an answer over the caller would be asked for without the last words."""
    await sandbox.control("transcripts", {"texts": ["My number is the one that I typed."] * 3})
    await sandbox.control("replies", {"replies": ["Thank you.", "Once more."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    caller.say("My number is the one that I typed.")
    await asyncio.sleep(0.8)
    await caller.type("B7K9")
    turn = await worker.heard(Turn, 2)
    assert turn.user_text.startswith("My number is the one that I typed. ")
    assert turn.user_text.endswith(" B7K9")
    assert (turn.heard_text, turn.interrupted, len(await sandbox.asked())) == ("Thank you.", False, 1)
