"""The host's load, and the node's defaults."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.adapters.host import ControlGroups, CpuLoad
from agent_runner.domain.capacity import Capacity
from agent_runner.settings import Settings, node_id_of
from contracts.ids import NODE_ID_PATTERN


def test_the_load_is_the_share_of_busy_ticks_smoothed(tmp_path: Path) -> None:
    stat, now = tmp_path / "stat", [0.0]
    stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n")
    load = CpuLoad(stat, lambda: now[0], ControlGroups(tmp_path / "none", tmp_path / "none"))
    stat.write_text("cpu 500 0 0 500 0 0 0 0 0 0\n")
    now[0] = 3.0
    assert load() == pytest.approx(0.5 * 3 / 15)
    assert load() == pytest.approx(0.1), "at once again: the same"
    stat.write_text("cpu 500 0 0 2500 0 0 0 0 0 0\n")
    now[0] = 33.0
    assert load() == 0


@given(st.text(max_size=100))
def test_any_hostname_gives_a_well_formed_node_id(hostname: str) -> None:
    assert re.match(NODE_ID_PATTERN, node_id_of(hostname))


def test_slots_follow_the_cpus_but_never_exceed_max_bots() -> None:
    two = Capacity(2.0)
    assert Settings(node_slots=None, max_bots=1).slots(two) == 1
    assert Settings(node_slots=7, max_bots=1).slots(two) == 7
    assert Settings(node_slots=None, max_bots=1000).slots(two) == 12
