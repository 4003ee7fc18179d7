"""The values of the environment and .env, as the services of `greenroom up` read them when they start."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from greenroom_cli import local_stack
from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.stack import StackOptions
from greenroom_cli.stack.plan import Plan
from greenroom_cli.stack.state import StateFolder

GROUP = "machine"
NAME = "settings"


def check_values(environment: Mapping[str, str]) -> list[Check]:
    """One check for each value that a service would refuse, and for each two that contradict each other."""
    # The plan makes passwords and ports where none are remembered: not in the folder of a stack.
    with tempfile.TemporaryDirectory(prefix="greenroom-doctor-") as folder:
        state = StateFolder(Path(folder))
        options = StackOptions(parts=local_stack.parts(environment), environment=environment)
        with state.locked():
            found = Plan(state, options).mistakes()
    if not found:
        return [Check(GROUP, NAME, Verdict.OK, "each service accepts its values")]
    fix = "correct the environment or .env"
    return [Check(GROUP, NAME, Verdict.BROKEN, f"{part.value}: {line}", fix) for line, part in found.items()]
