"""`python -m billing.replay` where there is nothing to read."""

from pathlib import Path

import pytest

from billing.replay import replay
from billing.settings import Settings


async def test_a_database_that_is_not_there_is_named_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/billing.db")

    assert await replay(Settings(), "session_a") == 2

    said = capsys.readouterr().err
    assert "does not exist" in said
    assert "run.json" in said
    assert not list(tmp_path.iterdir())
