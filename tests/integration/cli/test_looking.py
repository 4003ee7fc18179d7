"""The commands that look into sessions, against canned answers of a gateway."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from contracts.api_v1 import SessionPage
from contracts.errors import FORBIDDEN, UNAUTHORIZED
from greenroom_cli.app import app
from greenroom_cli.errors import CommandError
from tests.integration.cli.stand_in_gateway import ANSWERS, EVENTS, SESSION, TRANSCRIPT, StandIn


def greenroom(gateway: StandIn, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--url", gateway.url], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    "words",
    [
        ("sessions",),
        ("sessions", "show", SESSION),
        ("sessions", "stats"),
        ("nodes",),
        ("bill", SESSION),
        ("transcript", SESSION),
        ("top", "--once"),
    ],
)
def test_each_command_names_its_gateway_first(words: tuple[str, ...], gateway: StandIn) -> None:
    result = greenroom(gateway, *words)

    assert result.exit_code == 0
    assert result.stdout.startswith(f"gateway {gateway.url}")


def test_json_holds_nothing_but_the_document(gateway: StandIn) -> None:
    for words in (("sessions", "--json"), ("transcript", SESSION, "--json"), ("nodes", "--json")):
        assert json.loads(greenroom(gateway, *words).stdout)


def test_the_conditions_of_a_list_are_asked_of_the_gateway(gateway: StandIn) -> None:
    words = (
        "--user",
        "Anna",
        "--status",
        "active",
        "--status",
        "ready",
        "--outcome",
        "failed",
        "--metadata",
        "tier:gold",
    )

    greenroom(gateway, "sessions", *words, "--from", "2026-11-24T12:00:00+01:00", "--limit", "7")

    assert parse_qs(urlsplit(gateway.asked[-1]).query) == {
        "user": ["Anna"],
        "status": ["active", "ready"],
        "outcome": ["failed"],
        "metadata": ["tier:gold"],
        "from": ["2026-11-24T11:00:00Z"],
        "limit": ["7"],
    }


def test_a_transcript_shows_what_was_heard_and_which_tools_were_called(gateway: StandIn) -> None:
    lines = greenroom(gateway, "transcript", SESSION).stdout.splitlines()[1:]

    assert [" ".join(line.split()) for line in lines] == [
        "01:07 caller Is it raining?",
        "01:07 tool weather: done",
        "01:07 agent No, the [interrupted]",
    ]


def test_watch_goes_on_behind_the_last_step_when_the_stream_breaks(gateway: StandIn) -> None:
    result = greenroom(gateway, "watch", SESSION, "--json")

    assert result.exit_code == 0
    assert [json.loads(line)["seq"] for line in result.stdout.splitlines()] == [entry.seq for entry in EVENTS]
    assert gateway.resumed == [0, *(entry.seq for entry in EVENTS[:-1])]


def test_watch_ends_with_the_bill_and_not_with_a_stream_that_a_stopping_gateway_ends(gateway: StandIn) -> None:
    gateway.ends_streams_in_order = True

    result = greenroom(gateway, "watch", SESSION)

    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["Asked.", "Placed.", "Billed."]


def test_watch_waits_for_a_gateway_that_restarts_behind_a_proxy(gateway: StandIn) -> None:
    gateway.bad_gateways = 1

    result = greenroom(gateway, "watch", SESSION)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith("Billed.")


def test_what_to_do_next_names_the_same_gateway(gateway: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "/v1/sessions", SessionPage(items=[]))

    for words in (("sessions",), ("top", "--once")):
        assert greenroom(gateway, *words).stdout.splitlines()[-1].endswith(f"greenroom call --url {gateway.url}")


def test_a_transcript_whose_key_is_lost_says_so(gateway: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v1/sessions/{SESSION}/transcript.json"
    monkeypatch.setitem(ANSWERS, path, TRANSCRIPT.model_copy(update={"unreadable": True}))

    shown = greenroom(gateway, "transcript", SESSION).stdout

    assert "Words of this session cannot be opened" in shown
    assert "Is it raining?" in shown, "what can be read is shown"


def test_a_refusal_names_the_gateway(gateway: StandIn) -> None:
    gateway.refuses = UNAUTHORIZED

    result = greenroom(gateway, "sessions")

    assert isinstance(result.exception, CommandError)
    assert gateway.url in str(result.exception)


def test_a_folder_without_a_stack_is_refused_where_it_was_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["nodes", "drain", "n1", "--state", str(tmp_path)])

    assert isinstance(result.exception, CommandError)
    assert f"no stack runs in {tmp_path}" in str(result.exception)


@pytest.mark.parametrize("option", ["--user", "--metadata"])
def test_an_empty_condition_is_refused(option: str, gateway: StandIn) -> None:
    result = greenroom(gateway, "sessions", option, "")

    assert f"{option} is empty" in str(result.exception)


def test_top_shows_cost_so_far_the_slow_stage_and_the_draining_node(gateway: StandIn) -> None:
    out = greenroom(gateway, "top", "--once").stdout

    assert "1 active" in out
    assert "draining: n1" in out
    row = next(line for line in out.splitlines() if line.startswith(SESSION)).split()
    assert row[1:3] == ["active", "n1"]
    assert "1490 ms, slow: llm" in " ".join(row)
    assert row[-1] == "1"  # take-over
    assert " 2 3 " in " ".join(row)  # 61 s are two begun minutes; three turns


def test_top_needs_the_scope_sessions_only_and_says_what_the_key_lacks_for_the_rest(gateway: StandIn) -> None:
    gateway.refuses, gateway.allowed = FORBIDDEN, ("/v1/sessions",)

    result = greenroom(gateway, "top", "--once")

    assert result.exit_code == 0
    assert "totals and nodes: GREENROOM_API_KEY lacks the scope admin" in result.stdout
    assert SESSION in result.stdout


def test_top_without_a_terminal_asks_for_open_sessions_once(gateway: StandIn) -> None:
    greenroom(gateway, "top")

    asked = [parse_qs(urlsplit(path).query) for path in gateway.asked if path.startswith("/v1/sessions")]
    assert len(asked) == 1
    assert asked[0]["status"] == ["requested", "queued", "starting", "ready", "active"]
