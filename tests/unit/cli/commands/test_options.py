"""What the commands make of their arguments, and which gateway they ask."""

import os
from pathlib import Path

import pytest
from typer.main import get_command

from contracts.errors import Problem
from greenroom_cli.app import app
from greenroom_cli.commands import options
from greenroom_cli.errors import CommandError
from greenroom_cli.gateway import GatewayRefused
from greenroom_cli.settings import DEFAULT_STATE
from greenroom_cli.stack.state import Run, StateFolder

LATIN = os.fsdecode(b"Zo\xeb")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("end", LATIN), "SESSION"),
        (("bill", LATIN), "SESSION"),
        (("bill", "--user", LATIN), "--user"),
        (("sessions", "show", LATIN), "SESSION"),
        (("nodes", "drain", LATIN), "NODE"),
        (("call", "--user", LATIN), "--user"),
        (("call", "--caller-voice", LATIN), "--caller-voice"),
        (("demo", "--voice", LATIN), "--voice"),
        (("agent", "--url", "ws://h", "--token", "t", "--session-id", LATIN), "--session-id"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_named(words: tuple[str, ...], named: str) -> None:
    with pytest.raises(CommandError, match=f"^{named} is not UTF-8; write it in UTF-8"):
        get_command(app).main(list(words), standalone_mode=False)


@pytest.mark.parametrize("value", ["", "a/b", ".."])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("end",), "SESSION"),
        (("bill",), "SESSION"),
        (("transcript",), "SESSION"),
        (("sessions", "show"), "SESSION"),
        (("nodes", "drain"), "NODE"),
    ],
)
def test_an_id_that_no_path_can_carry_is_refused_before_a_request(
    words: tuple[str, ...], named: str, value: str
) -> None:
    with pytest.raises(CommandError, match=f"^{named} '{value}' is not an id"):
        get_command(app).main([*words, value], standalone_mode=False)


def test_an_argument_is_utf_8_also_where_the_locale_says_ascii() -> None:
    assert options.as_typed("SESSION", "session_é".encode().decode("ascii", "surrogateescape")) == "session_é"


def test_a_language_that_is_no_tag_is_refused_in_the_words_of_the_check_alone() -> None:
    with pytest.raises(CommandError) as refused:
        options.start_request(user_name="Grace", language="german")

    assert refused.value.problem.startswith("--language 'german' is invalid: ")
    assert "Value error" not in refused.value.problem


def test_which_gateway_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GREENROOM_URL", raising=False)
    default, chosen = StateFolder(DEFAULT_STATE), StateFolder(Path("chosen"))
    with default.locked(), chosen.locked():
        default.publish(Run(1, "", {"GREENROOM_URL": "http://default:1", "ASSEMBLY_API_KEY": "of-the-stack"}))
        chosen.publish(Run(1, "", {"GREENROOM_URL": "http://chosen:1"}))

        assert options.settings(None, None).greenroom_url == "http://default:1"

        monkeypatch.setenv("GREENROOM_URL", "http://named:1")
        named = options.settings(None, None)
        assert (named.greenroom_url, named.assembly_api_key) == ("http://named:1", None)
        assert options.settings(chosen.path, None).greenroom_url == "http://chosen:1"
        assert options.settings(DEFAULT_STATE, None).greenroom_url == "http://default:1"
        assert options.settings(chosen.path, "http://option:1").greenroom_url == "http://option:1"

        monkeypatch.setenv("GREENROOM_URL", "http://default:1/")
        assert options.settings(None, None).assembly_api_key == "of-the-stack"


def test_a_stack_that_is_named_without_a_scheme_keeps_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stack = StateFolder(DEFAULT_STATE)
    with stack.locked():
        stack.publish(Run(1, "", {"GREENROOM_URL": "http://127.0.0.1:1", "ASSEMBLY_API_KEY": "of-the-stack"}))
        monkeypatch.setenv("GREENROOM_URL", "127.0.0.1:1")

        found = options.settings(None, None)

    assert (found.greenroom_url, found.assembly_api_key) == ("http://127.0.0.1:1", "of-the-stack")


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("unauthorized", "set GREENROOM_API_KEY to a key of that gateway, or name another stack's folder with --state"),
        ("forbidden", "set GREENROOM_API_KEY to a key of that gateway with this scope"),
        ("session_ended", "what the gateway says."),
        ("unknown_session", "what the gateway says; name another stack with --state FOLDER or --url"),
        ("unknown_node", "what the gateway says; name another stack with --state FOLDER or --url"),
        ("unknown_user", "what the gateway says; name another stack with --state FOLDER or --url"),
    ],
)
def test_a_refusal_says_how_to_give_another_key_or_to_ask_another_stack(code: str, fix: str) -> None:
    problem = Problem(
        type="about:blank",
        title="t",
        status=403,
        detail="d.",
        code=code,
        fix="What the gateway says.",
        retryable=False,
        fault="client",
        request_id="r",
    )

    assert GatewayRefused(problem, "http://gateway").fix == fix


@pytest.mark.parametrize(
    "words",
    [
        ("end", "session_a"),
        ("bill", "session_a"),
        ("bill", "--user", "Ann"),
        ("watch", "session_a"),
        ("transcript", "session_a"),
        ("sessions",),
        ("sessions", "show", "session_a"),
        ("sessions", "stats"),
        ("nodes",),
        ("nodes", "drain", "n1"),
        ("top", "--once"),
        ("call",),
    ],
)
def test_a_command_that_finds_no_gateway_names_the_option_of_the_stacks_folder(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")

    with pytest.raises(
        CommandError, match=r"^no gateway at http://127\.0\.0\.1:9: it accepts no connections;"
    ) as raised:
        get_command(app).main(list(words), standalone_mode=False)

    assert "the folder of a stack with --state" in raised.value.fix


@pytest.mark.parametrize("given", [(), ("--state", "elsewhere")], ids=["default", "given"])
def test_an_agent_without_keys_or_with_a_folder_without_a_stack_is_told_of_the_option(
    given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ASSEMBLY_API_KEY", "GROQ_API_KEY", "INWORLD_API_KEY"):
        monkeypatch.setenv(name, "k" if given else "")
    became: list[object] = []
    monkeypatch.setattr(os, "execve", lambda *words: became.append(words))  # pyright: ignore[reportUnknownLambdaType]

    room = ("--url", "ws://h", "--token", "t", "--session-id", "session_a")
    get_command(app).main(["agent", *room, *given], standalone_mode=False)

    said = " ".join(capsys.readouterr().err.split())
    assert f"no stack runs in {'elsewhere' if given else '.greenroom'}" in said
    assert "--state names a stack's folder" in said
    assert len(became) == 1
