"""Following a session's log file."""

from pathlib import Path

from agent_runner.adapters.redis_call_logs import KEPT_LINES, RedisCallLogs

NOBODY = "redis://127.0.0.1:1/0"


async def test_a_redis_that_is_away_costs_lines_but_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "session_1.log"
    call_logs = RedisCallLogs(NOBODY)
    call_logs.follow("session_1", file)
    file.write_text("".join(f"{n}\n" for n in range(1000)))
    assert await call_logs.carry() is False
    assert call_logs.waiting("session_1") == [str(n) for n in range(1000 - KEPT_LINES, 1000)]
    call_logs.leave("session_1")
    assert await call_logs.carry() is False
    assert call_logs.waiting("session_1") == []
    await call_logs.close()


async def test_it_begins_at_the_end_of_an_old_file_and_waits_for_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "session_1.log"
    file.write_text("of an earlier epoch\n")
    call_logs = RedisCallLogs(NOBODY)
    call_logs.follow("session_1", file)
    with file.open("a") as log:
        log.write("first\nsec")
    await call_logs.carry()
    assert call_logs.waiting("session_1") == ["first"]
    with file.open("a") as log:
        log.write("ond\n")
    await call_logs.carry()
    assert call_logs.waiting("session_1") == ["first", "second"]


async def test_a_newer_epoch_on_the_same_node_keeps_the_file_followed(tmp_path: Path) -> None:
    file = tmp_path / "session_1.log"
    call_logs = RedisCallLogs(NOBODY)
    call_logs.follow("session_1", file)
    call_logs.follow("session_1", file)
    call_logs.leave("session_1")
    await call_logs.carry()
    file.write_text("on\n")
    await call_logs.carry()
    assert call_logs.waiting("session_1") == ["on"]


async def test_a_flood_and_an_endless_line_are_cut(tmp_path: Path) -> None:
    file = tmp_path / "session_1.log"
    call_logs = RedisCallLogs(NOBODY)
    call_logs.follow("session_1", file)
    file.write_bytes(b"x" * 1_000_000)
    await call_logs.carry()
    assert [len(line) for line in call_logs.waiting("session_1")] == [2000]
