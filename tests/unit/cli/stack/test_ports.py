"""Free ports, and the refusal of a taken one."""

import os
from itertools import islice

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.ports import free_ports, is_free, read_port, require_free


def test_free_ports_are_all_different_and_can_be_bound() -> None:
    ports = list(islice(free_ports(), 20))

    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


def test_a_taken_port_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_a_configured_port_that_is_taken_is_refused_with_port_holder_and_way_out(taken_port: int) -> None:
    with pytest.raises(CommandError) as refusal:
        require_free("gateway", taken_port, "choose another with --port or PORT")

    assert f"port {taken_port}, wanted by gateway, is taken by" in refusal.value.problem
    assert f"pid {os.getpid()}" in refusal.value.problem
    assert refusal.value.fix == "choose another with --port or PORT"


@pytest.mark.parametrize(("written", "port"), [("1", 1), ("65535", 65535), ("08000", 8000)])
def test_a_port_is_read_from_plain_digits(written: str, port: int) -> None:
    assert read_port(written) == port


@pytest.mark.parametrize("written", ["", "0", "65536", "9" * 5000, "-1", "1.5", "²", "１", " 80", "tcp://10.0.0.1:80"])
def test_what_is_not_a_port_is_none(written: str) -> None:
    assert read_port(written) is None
