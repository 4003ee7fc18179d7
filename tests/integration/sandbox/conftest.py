from collections.abc import Iterator

import pytest

from tests.integration.sandbox.running import Sandbox


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    clock = {"SANDBOX_CLOCK": "2024-01-01T15:15:00", "SANDBOX_LLM_FIRST_TOKEN_MS": "5", "SANDBOX_LLM_TOKEN_MS": "1"}
    with Sandbox(tmp_path_factory.mktemp("sandbox"), **clock) as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """A running sandbox without faults, script or counts; its clock stands at a quarter past three."""
    shared_sandbox.control("POST", "reset")
    return shared_sandbox
