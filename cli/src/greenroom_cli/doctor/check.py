"""One check's result."""

from dataclasses import dataclass
from enum import StrEnum

START = "start it, or a local one with: greenroom up"


class Verdict(StrEnum):
    """OK; NOTE, works but worth knowing; UNCHECKED, nothing is known; WARNING, something optional is missing or will
    matter later; BROKEN, something required is missing.
    """

    OK = "ok"
    NOTE = "note"
    UNCHECKED = "unchecked"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """What was looked at and what was found.

    Attributes:
        group: "machine", "servers", "services", "clocks" or "providers".
        detail: What was found, one line.
        fix: What to do about it; empty when there is nothing to do.
    """

    group: str
    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


class Broken(Exception):
    """What a probe raises when something does not do what it should; the text is the check's detail.

    Attributes:
        fix: What to do about it.
    """

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.fix = fix


def worst(checks: list[Check]) -> Verdict:
    """The worst verdict; OK of nothing."""
    order = list(Verdict)
    return max((check.verdict for check in checks), key=order.index, default=Verdict.OK)
