"""What `up` says of the stack that runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom_cli.commands import up

STARTED = {name: f"http://{name.lower()}" for name in ("GREENROOM_URL", "LIVEKIT_URL", "NATS_URL", "REDIS_URL")}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "in place of AssemblyAI, Groq, Inworld: no keys"),
        ({"GROQ_API_KEY": "g"}, "in place of AssemblyAI, Inworld: no keys"),
        ({"ASSEMBLY_API_KEY": "a", "GROQ_API_KEY": "g", "INWORLD_API_KEY": "i"}, None),
    ],
)
def test_the_providers_that_the_sandbox_replaces_are_named(
    keys: dict[str, str], said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    stack: Any = SimpleNamespace(
        environment=STARTED, gateway_url=STARTED["GREENROOM_URL"], folder=SimpleNamespace(logs=Path("logs"))
    )

    up._welcome(stack, Path("state"), keys, 1.0)  # pyright: ignore[reportPrivateUsage]

    shown = capsys.readouterr().out
    assert said in shown if said else "in place of" not in shown
