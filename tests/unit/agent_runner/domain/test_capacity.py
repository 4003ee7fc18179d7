"""What a container's limits leave a node, from the kernel's files."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.adapters.host import ControlGroups, CpuLoad
from agent_runner.domain.capacity import (
    Capacity,
    cgroup_path,
    cpu_quota,
    lineage,
    memory_limit,
    slots,
    usage_us,
)
from agent_runner.settings import Settings

MB = 1 << 20
CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("written", "cpus"),
    [("max 100000\n", None), ("200000 100000\n", 2.0), ("50000 100000", 0.5), ("150000", 1.5), ("", None)],
)
def test_cpu_max_grants_quota_over_period(written: str, cpus: float | None) -> None:
    assert cpu_quota(written) == cpus


@pytest.mark.parametrize(("written", "limit"), [("max\n", None), ("536870912\n", 512 * MB), ("", None)])
def test_memory_max_is_bytes_or_no_limit(written: str, limit: int | None) -> None:
    assert memory_limit(written) == limit


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("0::/kubepods/pod1/c2\n", "/kubepods/pod1/c2"),
        ("12:cpu,cpuacct:/docker/a\n1:name=systemd:/x\n0::/docker/a\n", "/docker/a"),
        ("0::/\n", "/"),
        ("4:memory:/docker/a\n", None),
        ("", None),
    ],
)
def test_the_unified_group_is_the_one_without_controllers(written: str, path: str | None) -> None:
    assert cgroup_path(written) == path


def test_a_group_is_under_the_limits_of_all_above_it() -> None:
    assert lineage("/a/b/c") == ["a/b/c", "a/b", "a", ""]
    assert lineage("/") == [""]
    assert lineage("/../../x") == ["x", ""], "a path above the mount leads nowhere"


def test_usage_is_one_line_of_cpu_stat() -> None:
    assert usage_us("usage_usec 1500000\nuser_usec 1\n") == 1_500_000
    assert usage_us("") == 0


@pytest.mark.parametrize(
    ("capacity", "most", "fit"),
    [
        (Capacity(2.0), 50, 12),
        (Capacity(0.5), 50, 3),
        (Capacity(0.1), 50, 1),
        (Capacity(64.0), 50, 50),
        (Capacity(4.0, 512 * MB), 50, 3),
        (Capacity(4.0, 64 * MB), 50, 1),
        (Capacity(4.0, 64 << 30), 50, 24),
    ],
)
def test_slots_fit_the_cpus_and_the_memory(capacity: Capacity, most: int, fit: int) -> None:
    assert slots(capacity, max_bots=most) == fit


@given(st.floats(0, 1000), st.none() | st.integers(0, 1 << 50), st.integers(1, 100_000))
def test_there_is_always_a_slot_and_never_more_than_max_bots(cpus: float, memory: int | None, most: int) -> None:
    assert 1 <= slots(Capacity(cpus, memory), max_bots=most) <= most


def groups(folder: Path, path: str, files: dict[str, str]) -> ControlGroups:
    """A tree of control groups: `files` by their path below the mount."""
    for name, content in files.items():
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(content)
    (folder / "own").write_text(f"0::{path}\n")
    return ControlGroups(folder / "cgroup", folder / "own")


def test_the_tightest_limit_of_nested_groups_holds(tmp_path: Path) -> None:
    found = groups(
        tmp_path,
        "/pod/c",
        {
            "pod/c/cpu.max": "max 100000\n",
            "pod/c/memory.max": f"{4096 * MB}\n",
            "pod/cpu.max": "50000 100000\n",
            "pod/memory.max": f"{1024 * MB}\n",
            "memory.max": "max\n",
        },
    )

    assert found.capacity() == Capacity(0.5, 1024 * MB)


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    limits = {"cpu.max": "25000 100000\n", "memory.max": f"{512 * MB}\n"}
    assert groups(tmp_path, "/", limits).capacity() == Capacity(0.25, 512 * MB)
    assert groups(tmp_path, "/host/path/not/mounted/here", limits).capacity() == Capacity(0.25, 512 * MB)


def test_a_quota_above_the_machine_grants_the_machine(tmp_path: Path) -> None:
    assert groups(tmp_path, "/", {"cpu.max": "100000000 100000\n"}).capacity() == Capacity(CPUS)


def test_without_control_groups_the_machine_is_all_there_is(tmp_path: Path) -> None:
    assert ControlGroups(tmp_path / "none", tmp_path / "neither").capacity() == Capacity(CPUS)


def test_the_load_is_the_share_of_the_quota_when_that_is_the_tighter(tmp_path: Path) -> None:
    stat, now = tmp_path / "stat", [0.0]
    stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n")
    files = {"c/cpu.max": "50000 100000\n", "c/cpu.stat": "usage_usec 0\n", "cpu.max": "max 100000\n"}
    load = CpuLoad(stat, lambda: now[0], groups(tmp_path, "/c", files))

    stat.write_text("cpu 300 0 0 5700 0 0 0 0 0 0\n")  # the machine: 5 %
    groups(tmp_path, "/c", {"c/cpu.stat": "usage_usec 6000000\n"})
    now[0] = 15.0
    assert load() == pytest.approx(0.8), "6 s of CPU in 15 s, of half a CPU"

    stat.write_text("cpu 5700 0 0 6300 0 0 0 0 0 0\n")  # the machine: 90 %
    now[0] = 30.0
    assert load() == pytest.approx(0.9), "what others take of the machine is missing here too"


def test_memory_of_other_processes_in_the_container_is_no_slot() -> None:
    settings = Settings(max_bots=50, memory_reserved_mb=600)

    assert settings.slots(Capacity(8, 1024 * MB)) == 2
    assert settings.slots(Capacity(8, 512 * MB)) == 1
    assert settings.slots(Capacity(8)) == 48
