"""The real supervisor with stand-in workers: `python -m tests.integration.agent_runner.stand_in_app [function]`."""

import sys

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
    config = load(AgentConfig, settings.agent_env_file)
    worker, preload = f"{HERE}.stand_in_worker:{function}", f"{HERE}.stand_in_preload"
    run(Service("agent-runner", settings, lambda life: start(life, settings, config, worker=worker, preload=preload)))


if __name__ == "__main__":
    main()
