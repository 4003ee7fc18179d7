"""What `up` says of the stack that runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom_cli.commands import up
from greenroom_cli.stack.providers import sandbox_environment

STARTED = {name: f"http://{name.lower()}" for name in ("GREENROOM_URL", "LIVEKIT_URL", "NATS_URL", "REDIS_URL")}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "http://127.0.0.1:8010 in place of AssemblyAI, Groq, Inworld: no keys"),
        ({"GROQ_API_KEY": "g"}, "http://127.0.0.1:8010 in place of AssemblyAI, Inworld: no keys"),
        ({"ASSEMBLY_API_KEY": "a", "GROQ_API_KEY": "g", "INWORLD_API_KEY": "i"}, None),
    ],
)
def test_the_providers_that_the_sandbox_replaces_are_named(
    keys: dict[str, str], said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    stack: Any = SimpleNamespace(
        environment={**STARTED, **sandbox_environment(8010, keys)},
        gateway_url=STARTED["GREENROOM_URL"],
        folder=SimpleNamespace(logs=Path("logs")),
    )

    up._welcome(stack, Path("state"), keys, 1.0)  # pyright: ignore[reportPrivateUsage]

    shown = capsys.readouterr().out
    assert said in shown if said else "in place of" not in shown
    assert ("http://127.0.0.1:8010/control (sandbox/README.md)" in shown) == (said is not None)
