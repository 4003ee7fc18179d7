"""The state folder."""

import json
from pathlib import Path

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.state import Run, StateFolder

RUN = Run(pid=1, gateway_url="http://127.0.0.1:8080", environment={"NATS_URL": "nats://127.0.0.1:4222"})


def test_two_stacks_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path).locked(),
        pytest.raises(CommandError, match="already running in") as refusal,
        StateFolder(tmp_path).locked(),
    ):
        pytest.fail("both hold the folder")

    assert "--state" in refusal.value.fix


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)

    for folder in (tmp_path / "above" / "state", shared):
        with StateFolder(folder).locked():
            pass

    assert (tmp_path / "above" / "state").stat().st_mode & 0o777 == 0o700
    assert shared.stat().st_mode & 0o777 == 0o755, "the user's own choice stays"


def test_a_running_stack_is_found_by_the_other_commands(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.locked():
        assert StateFolder(tmp_path).running() is None
        state.publish(RUN)
        assert StateFolder(tmp_path).running() == RUN

    assert StateFolder(tmp_path).running() is None


def test_what_a_killed_stack_published_does_not_count(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.locked():
        pass
    state.publish(RUN)

    assert state.running() is None


def test_keys_are_made_once_are_long_enough_and_only_ours_to_read(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.locked():
        keys = state.keys()

    assert StateFolder(tmp_path).keys() == keys
    assert len(keys.livekit_secret) >= 32
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_the_keys_of_an_earlier_version_stay_and_get_the_passwords_that_are_new(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    earlier = {"livekit_key": "greenroom", "livekit_secret": "kept" * 8, "postgres_password": "kept too"}
    file.write_text(json.dumps(earlier | {"nats": {"gateway": "kept as well"}}))

    keys = StateFolder(tmp_path).keys()

    assert (keys.livekit_secret, keys.postgres_password) == ("kept" * 8, "kept too")
    assert keys.nats["gateway"] == "kept as well"
    made = [password for user, password in (keys.nats | keys.redis).items() if user != "gateway"]
    assert len(set(made)) == len(made)
    assert {len(password) for password in made} == {48}
    assert StateFolder(tmp_path).keys() == keys
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(CommandError, match=r"cannot write to .*file/state"),
        StateFolder(tmp_path / "file" / "state").locked(),
    ):
        pytest.fail("it was locked")


@pytest.mark.parametrize("content", ["", "garbage", "[]", '{"livekit_key": 1}'])
def test_damaged_keys_are_named_and_not_replaced(content: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(content)

    with pytest.raises(CommandError, match=r"keys.json is damaged; restore it"):
        StateFolder(tmp_path).keys()

    assert (tmp_path / "keys.json").read_text() == content


@pytest.mark.parametrize("content", ["", "garbage", "[]", '{"nats": "x"}', '{"nats": 70000}'])
def test_ports_that_cannot_be_read_are_chosen_again(content: str, tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text(content)

    assert StateFolder(tmp_path).ports() == {}
