"""The random run: the seed alone decides which faults come, in which order."""

from pathlib import Path

from tests.chaos.cell import Cell, Shape
from tests.chaos.random_run import Fault, Run


def faults(folder: Path, seed: int) -> list[Fault]:
    run = Run(Cell(folder, Shape(nats=3)), seed, lambda _: None)
    return [run.choose() for _ in range(50)]


def test_the_same_seed_chooses_the_same_faults(tmp_path: Path) -> None:
    assert faults(tmp_path / "a", 7) == faults(tmp_path / "b", 7)
    assert faults(tmp_path / "c", 7) != faults(tmp_path / "d", 8)


def test_every_kind_of_fault_comes(tmp_path: Path) -> None:
    assert {fault.kind for fault in faults(tmp_path, 7)} == {"kill", "freeze", "cut", "clock", "worker"}
