"""What every benchmark shares: figures with their spread, the table, the JSON file, and what it ran on."""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import sys
import traceback
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NoReturn

from chassis.cancellation import mend_wait_for

Goal = tuple[Literal["<=", ">="], float]
PACKAGES = ("pipecat-ai", "livekit", "nats-py", "faststream")


@dataclass
class Figure:
    """Measurements of one thing, in the order taken.

    Attributes:
        against: The figure that `ratio` compares with: this one's median over that one's.
        goal: What that ratio should be, as "<=" or ">=" and a number; without `against`, the same for the median.
        goal_p95: The goal is the 95th percentile's instead of the median's; with `against` the goal of both ratios.
    """

    name: str
    unit: str
    values: list[float] = field(default_factory=list[float])
    against: "Figure | None" = None
    goal: Goal | None = None
    goal_p95: bool = False

    def quantile(self, share: float) -> float:
        """The value below which `share` (0..1) of the measurements lie, by nearest rank."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    def spread(self) -> tuple[float, float, float, float]:
        """The least, p50, p95 and p99. On a machine with other work the least says most."""
        return min(self.values), self.p50, self.quantile(0.95), self.quantile(0.99)

    @property
    def ratio(self) -> float | None:
        if self.against is None or not self.against.values or not self.values:
            return None
        return self.p50 / self.against.p50

    @property
    def ratio_p95(self) -> float | None:
        """The same of the 95th percentiles."""
        if self.against is None or self.ratio is None:
            return None
        return self.quantile(0.95) / self.against.quantile(0.95)

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None or not self.values:
            return None
        sign, number = self.goal
        values = (
            (self.ratio, self.ratio_p95 if self.goal_p95 else self.ratio)
            if self.against
            else (self.quantile(0.95) if self.goal_p95 else self.p50,)
        )
        known = [value for value in values if value is not None]
        return all(value <= number if sign == "<=" else value >= number for value in known) if known else None

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.values),
            "min": round(min(self.values), 3),
            "p50": round(self.p50, 3),
            "p95": round(self.quantile(0.95), 3),
            "p99": round(self.quantile(0.99), 3),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "ratio_p95": None if self.ratio_p95 is None else round(self.ratio_p95, 4),
            "against": self.against.name if self.against else None,
            "goal": f"{self.goal[0]} {self.goal[1]:g}" if self.goal else None,
            "met": self.is_met,
        }


def ran_on() -> dict[str, str]:
    """The machine and the versions that the figures hold for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "cpu": f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        "memory": f"{memory:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f} (1 min) {os.getloadavg()[2]:.1f} (15 min)",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def arguments(description: str, *, runs: int | None) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes.

    Args:
        runs: The default of `--runs`; None: the benchmark has no such argument.
    """
    parser = argparse.ArgumentParser(description=description)
    if runs is not None:
        parser.add_argument("--runs", type=int, default=runs, help="measurements of each kind (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as one JSON object")
    return parser


def run_bench(work: Coroutine[Any, Any, None]) -> NoReturn:
    """Run a benchmark to its end; on Ctrl-C and SIGTERM everything that it started is stopped first."""

    async def stoppable() -> None:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await task

    try:
        mend_wait_for()
        asyncio.run(stoppable())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        status = 130
    except Exception:
        traceback.print_exc()
        status = 1
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # LiveKit's runtime leaves threads behind, and sometimes crashes at its teardown


def publish(
    title: str,
    figures: Sequence[Figure],
    to: Path | None,
    *,
    notes: Sequence[str] = (),
    trace: Sequence[str] = (),
    **more: str,
) -> None:
    """Print the table; write the JSON file if one was asked for.

    Args:
        notes: What a reader must know to judge the figures; one line each.
        trace: Lines that follow the table: where the time goes.
        more: Name and version of what else was measured.
    """
    machine = ran_on() | more
    measured = [figure for figure in figures if figure.values]
    width = max(len(figure.name) for figure in measured)
    print(title)
    print("ran on " + ", ".join(f"{name} {value}" for name, value in machine.items()))
    for note in notes:
        print(f"- {note}")
    print(f"{'':{width}} {'unit':>5} {'n':>4} {'min':>9} {'p50':>9} {'p95':>9} {'p99':>9}  ratio")
    for figure in measured:
        row = " ".join(f"{v:9.{0 if v >= 1000 else 1 if v >= 10 else 2}f}" for v in figure.spread())
        print(f"{figure.name:{width}} {figure.unit:>5} {len(figure.values):4d} {row}  {_judgement(figure)}".rstrip())
    for line in trace:
        print(line)
    if to:
        content: dict[str, object] = {
            "title": title,
            "ran_on": machine,
            "notes": notes,
            "figures": [f.as_dict() for f in measured],
        }
        if trace:
            content["trace"] = trace
        to.write_text(json.dumps(content, indent=2) + "\n")


def _judgement(figure: Figure) -> str:
    words: list[str] = []
    if figure.ratio is not None and figure.against:
        p95 = f" (p95 {figure.ratio_p95:.2f})" if figure.goal_p95 else ""
        words.append(f"{figure.ratio:.2f}{p95} of {figure.against.name}")
    if figure.goal and figure.is_met is not None:
        words.append(f"(goal {figure.goal[0]} {figure.goal[1]:g}: {'met' if figure.is_met else 'MISSED'})")
    return " ".join(words)
