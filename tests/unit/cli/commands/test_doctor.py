"""What the doctor makes of what it found."""

from pathlib import Path

import pytest

from chassis.livekit_probe import LiveKitFacts
from greenroom_cli.commands.doctor import closing
from greenroom_cli.doctor.check import Check, Verdict, worst
from greenroom_cli.doctor.clocks import check_clocks
from greenroom_cli.doctor.livekit import judge
from greenroom_cli.doctor.machine import check_machine
from greenroom_cli.errors import CommandError
from greenroom_cli.stack import binaries

WELL = LiveKitFacts(reachable=True, accepts_key=True, auto_create=False, clock_ahead_s=0.4)


def livekit(facts: LiveKitFacts) -> list[Check]:
    return judge(facts, "ws://livekit:7880", "servers", "start it")


def found(name: str, verdict: Verdict) -> Check:
    return Check("servers", name, verdict, "")


def test_clocks_that_agree_are_one_line() -> None:
    (check,) = check_clocks({"LiveKit": 0.4, "Redis": -0.2})

    assert check.verdict is Verdict.OK
    assert "LiveKit, Redis" in check.detail


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "said"),
    [
        (90.0, Verdict.BROKEN, "90 s ahead of LiveKit's"),
        (-75.0, Verdict.BROKEN, "75 s behind LiveKit's"),
        (20.0, Verdict.WARNING, "20 s ahead of LiveKit's"),
    ],
)
def test_a_clock_that_is_wrong_is_said_with_its_consequence(ahead_s: float, verdict: Verdict, said: str) -> None:
    agreeing, apart = check_clocks({"Redis": 0.0, "LiveKit": ahead_s})

    assert agreeing.verdict is Verdict.OK
    assert apart.verdict is verdict
    assert said in apart.detail
    assert ("refuses tokens" in apart.detail) == (verdict is Verdict.BROKEN)


def test_without_a_server_that_tells_the_time_the_clock_is_unchecked() -> None:
    assert [check.verdict for check in check_clocks({})] == [Verdict.UNCHECKED]


def test_a_livekit_that_is_well_is_one_line() -> None:
    assert [check.verdict for check in livekit(WELL)] == [Verdict.OK]


def test_a_livekit_where_joining_makes_rooms_is_a_warning_with_the_setting() -> None:
    facts = LiveKitFacts(reachable=True, accepts_key=True, auto_create=True, clock_ahead_s=0)

    checks = livekit(facts)

    assert worst(checks) is Verdict.WARNING
    assert "auto_create: false" in checks[-1].fix


def test_a_refused_key_with_a_wrong_clock_is_not_called_a_wrong_key() -> None:
    refused = LiveKitFacts(reachable=True, accepts_key=False, clock_ahead_s=90, why_not="it refused the token (401)")

    assert not [check for check in livekit(refused) if "credentials" in check.detail]
    assert "credentials" in livekit(LiveKitFacts(reachable=True, accepts_key=False, clock_ahead_s=0))[0].detail


def test_the_closing_line_says_what_was_not_looked_at() -> None:
    checks = [found("NATS", Verdict.OK), found("gateway", Verdict.UNCHECKED), found("nodes", Verdict.UNCHECKED)]

    assert closing(checks) == ["Everything that was checked works.", "Not checked: gateway, nodes."]


def test_the_closing_line_names_what_is_broken() -> None:
    checks = [found("NATS", Verdict.BROKEN), found("Go", Verdict.WARNING), found("nodes", Verdict.UNCHECKED)]

    assert closing(checks) == ["Broken: NATS.", "Not checked: nodes."]


def test_the_closing_line_counts_and_names_the_warnings() -> None:
    warning = [found("Go", Verdict.WARNING)]

    assert closing(warning) == ["Everything that was checked works, with 1 warning: Go."]
    assert closing([*warning, found(".env", Verdict.WARNING), found(".env", Verdict.WARNING)]) == [
        "Everything that was checked works, with 3 warnings: Go, .env."
    ]
    assert worst(warning) is Verdict.WARNING


def test_with_everything_checked_there_is_nothing_to_add() -> None:
    assert closing([found("NATS", Verdict.OK)]) == ["Everything that was checked works."]


def test_a_servers_program_is_missed_only_where_no_such_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Path:
        raise CommandError("it is not installed", "run: make install")

    for find in ("nats_server", "redis_server", "postgres", "livekit_server"):
        monkeypatch.setattr(binaries, find, missing)
    named = {"NATS_URL": "nats://n", "REDIS_URL": "redis://r", "LIVEKIT_URL": "wss://l"}

    checks = check_machine(named, tmp_path, stack_is_running=True)

    servers = {"nats-server", "redis-server", "PostgreSQL", "livekit-server"}
    assert {check.name: check.verdict for check in checks if check.name in servers} == {"PostgreSQL": Verdict.BROKEN}
