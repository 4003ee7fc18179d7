"""One check's result."""

from dataclasses import dataclass
from enum import StrEnum

START = "start it, or a local one with: greenroom up"


class Verdict(StrEnum):
    """OK; NOTE, works but worth knowing; UNCHECKED, unknown; WARNING, something optional is missing or will
    matter later; BROKEN, something required is missing.
    """

    OK = "ok"
    NOTE = "note"
    UNCHECKED = "unchecked"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One check and its finding.

    Attributes:
        group: "machine", "servers", "services", "clocks" or "providers".
        detail: The finding, one line.
        fix: The action for the user; empty if none is needed.
    """

    group: str
    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


class Broken(Exception):
    """A probe found a fault; the text is the check's detail.

    Attributes:
        fix: The action for the user.
    """

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.fix = fix


def worst(checks: list[Check]) -> Verdict:
    """The worst verdict; OK without checks."""
    order = list(Verdict)
    return max((check.verdict for check in checks), key=order.index, default=Verdict.OK)
