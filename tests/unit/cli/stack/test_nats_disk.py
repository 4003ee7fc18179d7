"""The disk that NATS needs, and a server that met its end."""

import shutil
from pathlib import Path

import pytest

from contracts.users import NATS_USERS
from greenroom_cli.stack import binaries, servers
from greenroom_cli.stack.disk import Disk, nats_disk
from greenroom_cli.stack.full_disk import FullDisk

MIB = 1024**2


def test_the_need_follows_the_settings_and_counts_what_the_store_has(tmp_path: Path) -> None:
    store = tmp_path / "nats" / "jetstream"
    store.mkdir(parents=True)
    (store / "1.blk").write_bytes(b"x" * 3_000)
    given = {"SESSIONS_MAX_MB": "100", "IDEMPOTENCY_MAX_MB": "16", "SEATS_MAX_MB": "bad"}

    disk = nats_disk(tmp_path, given)
    default = nats_disk(tmp_path / "not" / "made", {})

    assert default.needed - disk.needed == (1536 - 100 + 256 - 16) * MIB
    assert (disk.used, disk.log_bytes, disk.folder) == (3_000, 100 * MIB, tmp_path / "nats")
    assert default.folder == tmp_path
    assert nats_disk(tmp_path, {"MAX_BOTS": "1000", "SESSION_TIMEOUT": "14400000"}).log_bytes > 7_000 * MIB
    many = nats_disk(tmp_path, {"MAX_BOTS": "1000"})
    assert many.needed - default.needed == (916 - 64) * MIB


def test_one_line_says_what_is_needed_what_is_free_and_what_to_set() -> None:
    disk = Disk(Path("/x"), needed=2_500 * MIB, free=2_000 * MIB, used=100 * MIB, log_bytes=1_536 * MIB)
    assert not disk.is_enough
    assert disk.shown == (
        "NATS reserves 2,500 MB for its streams, and in /x 2,000 MB are free and its store has 100 MB"
    )
    assert "free 400 MB, or set SESSIONS_MAX_MB=1136" in disk.fix
    assert Disk(Path("/x"), 2_500, free=2_400, used=100, log_bytes=0).is_enough
    assert "SESSIONS_MAX_MB" not in Disk(Path("/x"), 2_500 * MIB, 0, 0, 1_536 * MIB).fix


def test_the_disk_that_is_looked_at_is_the_one_with_the_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Path] = []

    def usage(folder: Path) -> shutil._ntuple_diskusage:  # pyright: ignore[reportPrivateUsage]
        looked_at.append(folder)
        return shutil._ntuple_diskusage(0, 0, 0)  # pyright: ignore[reportPrivateUsage]

    monkeypatch.setattr(binaries, "nats_server", lambda: Path("nats-server"))
    spec = servers.nats(tmp_path, 4222, {user.name: "x" for user in NATS_USERS}, {}, limit=MIB)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "nats.log").write_text("no space left on device")
    monkeypatch.setattr(shutil, "disk_usage", usage)

    assert spec.why_restart is not None
    assert spec.why_restart() is None
    assert looked_at == [tmp_path / "nats"]


def test_a_server_that_met_a_full_disk_is_restarted_once_there_is_room(tmp_path: Path) -> None:
    log, free, now = tmp_path / "nats.log", [0], [0.0]
    log.write_text("of an earlier run: no space left on device\n")
    disk = FullDisk(log, tmp_path, free=lambda _: free[0], clock=lambda: now[0])
    assert disk.why_restart() is None

    with log.open("a") as written:
        written.write("[ERR] Critical write error: write 9.blk: no space left on device\n")
    assert disk.why_restart() is None, "there is no room yet"
    free[0] = 65 * MIB
    assert "its disk was full" in (disk.why_restart() or "")
    assert disk.why_restart() is None, "once"

    with log.open("a") as written:
        written.write("no space left on device\n")
    assert disk.why_restart() is None, "not twice in a moment"
    now[0] = 31
    assert disk.why_restart() is not None

    log.write_text("rotated\n")
    now[0] = 62
    assert disk.why_restart() is None
