"""A whole call whose words are erased: no store has them before in the clear, and none has them after at all."""

from pathlib import Path

import httpx
import pytest

from chassis.nats import Bus
from contracts.api import StartRequest
from contracts.streams import KEYS
from greenroom_cli.call.place import Script, place_call
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Stack
from tests.support.stores import files_hold, nats_holds, redis_holds, words_in

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

USER, ACCOUNT = "Zaphodine", "account-4711"
WORDS = (USER, "Magrathea", "Babelfish", "Good morning")


async def test_the_words_of_an_erased_call_are_in_no_store_and_its_bill_is_the_same(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    request = StartRequest(
        user_name=USER,
        user_id=ACCOUNT,
        opening_line=f"Good morning {USER}!",
        system_prompt="You are Marvin. You sell a Babelfish.",
        metadata={"planet": "Magrathea"},
    )
    script = Script(request, says=("What is your name?",), voice="Craig")
    report = await place_call(settings, script, tmp_path / "heard.wav", lambda *_: None)
    session, redis_url = f"/v1/sessions/{report.session_id}", stack.environment["REDIS_URL"]
    bus = await Bus.connect(stack.environment["NATS_URL"], name="erasure")
    try:
        async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10, trust_env=False) as api:
            said = (await api.get(f"{session}/transcript")).json()["turns"]
            words = (*WORDS, *(text for turn in said for text in (turn["user"], turn["agent"]) if text))
            assert len(words) >= len(WORDS) + 3, "opening, question, answer"
            bill = (await api.get(f"/billing/sessions/{report.session_id}")).json()
            assert not words_in(await nats_holds(bus), *words), "the log has no word in the clear before either"
            assert USER in words_in(await redis_holds(redis_url), *words)

            key = await bus.bucket(KEYS).get(report.session_id)
            assert key is not None
            assert key.value is not None
            secret, store = key.value.secret, stack.folder.path / "nats"
            assert words_in(files_hold(store), secret)

            erased = (await api.delete(session)).json()

            assert (erased["erased"], erased["logUntil"]) == (True, None)
            assert not words_in(files_hold(store), secret, *words), "NATS' disk"
            assert not words_in(await redis_holds(redis_url), *words)
            folder = stack.folder.path
            assert not words_in(files_hold(*folder.glob("billing.sqlite*")), *words), "SQL"
            assert not words_in(files_hold(folder / "logs" / "agents"), *words), "the calls' logs"
            assert (await api.get(f"/billing/sessions/{report.session_id}")).json() == bill
            timeline = (await api.get(f"{session}/timeline")).json()
            assert {"requested", "turn", "ended", "billed", "erased"} <= {e["kind"] for e in timeline["entries"]}
    finally:
        await bus.close()
