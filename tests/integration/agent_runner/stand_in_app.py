"""The real supervisor with stand-in workers: `python -m tests.integration.agent_runner.stand_in_app [function]`."""

import sys
from functools import partial

from agent_runner.agent_config import AgentConfig
from agent_runner.app import start
from agent_runner.settings import Settings
from chassis.lifecycle import Service, run
from chassis.settings import load

HERE = "tests.integration.agent_runner"


def main() -> None:
    """Run the node with `stand_in_worker:<function>`."""
    function = sys.argv[1] if len(sys.argv) > 1 else "run"
    settings = load(Settings)
    bring_up = partial(
        start,
        settings,
        load(AgentConfig, settings.agent_env_file),
        worker=f"{HERE}.stand_in_worker:{function}",
        preload=f"{HERE}.stand_in_preload",
    )
    run(Service("agent-runner", settings, bring_up))


if __name__ == "__main__":
    main()
