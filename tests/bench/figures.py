"""What every benchmark shares: figures with their spread, the table, the JSON file, and what it ran on."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("pipecat-ai", "livekit", "nats-py", "faststream")


@dataclass
class Figure:
    """Measurements of one thing, in the order taken.

    Attributes:
        against: The figure that `ratio` compares with: this one's median over that one's.
    """

    name: str
    unit: str
    values: list[float] = field(default_factory=list[float])
    against: "Figure | None" = None

    def quantile(self, share: float) -> float:
        """The value below which `share` (0..1) of the measurements lie, by nearest rank."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        if self.against is None or not self.against.values or not self.values:
            return None
        return self.p50 / self.against.p50

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.values),
            "p50": round(self.p50, 3),
            "p95": round(self.quantile(0.95), 3),
            "p99": round(self.quantile(0.99), 3),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "against": self.against.name if self.against else None,
        }


def ran_on() -> dict[str, str]:
    """The machine and the versions that the figures hold for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "cpu": f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def arguments(description: str, *, runs: int) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=runs, help="measurements of each kind (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as one JSON object")
    return parser


def publish(title: str, figures: Sequence[Figure], to: Path | None, **more: str) -> None:
    """Print the table; write the JSON file if one was asked for."""
    machine = ran_on() | more
    measured = [figure for figure in figures if figure.values]
    width = max(len(figure.name) for figure in measured)
    print(title)
    print("ran on " + ", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'':{width}} {'unit':>5} {'n':>4} {'p50':>9} {'p95':>9} {'p99':>9}  ratio")
    for figure in measured:
        ratio = f"{figure.ratio:.2f} of {figure.against.name}" if figure.ratio is not None and figure.against else ""
        row = " ".join(f"{figure.quantile(q) if q != 0.5 else figure.p50:9.1f}" for q in (0.5, 0.95, 0.99))
        print(f"{figure.name:{width}} {figure.unit:>5} {len(figure.values):4d} {row}  {ratio}")
    if to:
        to.write_text(
            json.dumps({"title": title, "ran_on": machine, "figures": [f.as_dict() for f in measured]}, indent=2) + "\n"
        )
