"""The caller's and the agent's speech, as `Quiet` is told of it."""

from agent_runner.domain.quiet import Quiet


def agent_speaks(quiet: Quiet, began: float, ended: float) -> None:
    quiet.agent(began, is_speaking=True)
    quiet.agent(ended, is_speaking=False)


def caller_speaks(quiet: Quiet, began: float, ended: float, *, opens_turn: bool = False) -> None:
    quiet.caller(began, is_speaking=True)
    if opens_turn:
        quiet.turn_began()
    quiet.caller(ended, is_speaking=False)
