"""The API does what its OpenAPI document says: schemathesis, all checks, on a whole system but media.

The seed is fixed. A soak has more cases, and others: `SCHEMATHESIS_EXAMPLES=1000 SCHEMATHESIS_SEED=2 pytest ...`.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gateway.system import KEY, System
from tests.support.servers import BIN

ROOT = Path(__file__).parents[3]
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES")
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
LIMIT_S = 300 if EXAMPLES is None else 6 * 3600

pytestmark = pytest.mark.timeout(LIMIT_S + 30)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Sessions end by themselves, so that their slots are free for the next."""
    with System(tmp_path_factory.mktemp("system"), MAX_BOTS="200", SESSION_TIMEOUT="10000") as system:
        yield system


def schemathesis(system: System, *options: str) -> str:
    """Run it with all checks; what it printed."""
    command = [
        *(str(BIN / "schemathesis"), "--no-color", "--config-file", str(CONFIG), "run", f"{system.url}/openapi.json"),
        *("--url", system.url, "--seed", SEED, *options),
    ]
    environment = {**os.environ, "GREENROOM_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, cwd=system.folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )

    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-5_000:]
    assert "http.bug" not in system.log.read_text()
    return done.stdout


def test_each_operation_answers_as_its_document_says(system: System) -> None:
    schemathesis(system, "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES or "60")


# Chains begin where data comes from by itself: schemathesis would leave the starts out beside the lists.
LISTS = ("list_sessions", "find_sessions", "list_nodes", "get_stats")
TARGETS = ("get_session", "get_session_detail", "get_session_timeline", "drain_node")


@pytest.mark.parametrize(
    "operations",
    [
        [option for name in LISTS for option in ("--exclude-operation-id", name)],
        [option for name in (*LISTS, *TARGETS) for option in ("--include-operation-id", name)],
    ],
    ids=["from a start", "from a list"],
)
def test_what_an_operation_gives_is_good_for_the_next_one(system: System, operations: list[str]) -> None:
    said = schemathesis(system, "--phases", "stateful", "--max-examples", EXAMPLES or "60", *operations)

    links = re.search(r"API Links: +(\d+) covered / (\d+) selected", said)
    assert links is not None, said
    assert int(links[1]) >= int(links[2]) / 2, said  # which of them a run follows is partly left to chance
