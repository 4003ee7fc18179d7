"""A call without a supervisor: how it begins, and which ends are errors."""

import pytest

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import Failed, Stopped
from agent_runner.worker.call import job
from agent_runner.worker.process import direct_call
from agent_runner.worker.process.direct_call import problem_of
from agent_runner.worker.room import livekit_runtime
from contracts.causes import EFFECTS, Cause, Effect
from tests.support import commands

COMPLETING = [cause for cause in Cause if EFFECTS[cause] is Effect.COMPLETES]
OTHERS = [cause for cause in Cause if EFFECTS[cause] is not Effect.COMPLETES]


@pytest.mark.parametrize("cause", COMPLETING)
def test_an_end_that_completes_a_session_is_no_error(cause: Cause) -> None:
    assert problem_of(Stopped(cause=cause, detail=""), []) is None


@pytest.mark.parametrize("cause", OTHERS)
def test_any_other_end_is_an_error_that_names_its_cause(cause: Cause) -> None:
    assert problem_of(Stopped(cause=cause, detail="why"), []) == f"{cause}: why"


def test_an_opening_line_without_a_word_to_speak_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--url", "ws://127.0.0.1:7880", "--token", "t", "--session-id", "session_1", "--opening-line", "[happy]"]
    monkeypatch.setattr("sys.argv", ["agent", *given])
    with pytest.raises(SystemExit):
        direct_call.run()
    assert "--opening-line has no words to say" in capsys.readouterr().err


def test_a_failed_provider_is_named_with_the_setting_to_check() -> None:
    failed = Failed(provider="llm", detail="401")
    problem = problem_of(Stopped(cause=Cause.PROVIDER_FAILED, detail=""), [failed])
    assert problem is not None
    assert "llm failed: 401; check GROQ_API_KEY" in problem


async def test_it_runs_on_the_runtime_that_a_nodes_workers_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def build(*_: object, **__: object) -> None:
        done.append("job")
        raise RuntimeError

    async def with_models(config: AgentConfig) -> AgentConfig:
        return config

    monkeypatch.setattr(livekit_runtime, "start", lambda: done.append("runtime"))
    monkeypatch.setattr(job, "Job", build)
    monkeypatch.setattr(direct_call, "with_models", with_models)
    monkeypatch.setattr(direct_call.log_lines, "configure", lambda _: None)
    config = AgentConfig.model_validate(dict.fromkeys(("assembly_api_key", "groq_api_key", "inworld_api_key"), "x"))
    with pytest.raises(RuntimeError):
        await direct_call.call(config, commands.go())
    assert done == ["runtime", "job"]
