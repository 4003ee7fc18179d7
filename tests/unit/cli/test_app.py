"""What a command prints when an error ends it that no step has named."""

import pytest

from greenroom_cli import app


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "greenroom: no answer in time: TimeoutError in "),
        (ConnectionResetError(), "greenroom: ConnectionResetError in "),
        (OSError(28, "No space left on device"), "greenroom: [Errno 28] No space left on device; check the disk"),
    ],
)
def test_an_error_of_the_system_never_ends_in_an_empty_line(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(app.network, "prepare", fail)

    assert app.run_app() == 1
    assert capsys.readouterr().err.startswith(said)
