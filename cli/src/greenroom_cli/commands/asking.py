"""What every command that asks a gateway does: find it, ask it, and name it above the answer."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from greenroom_cli.commands import options
from greenroom_cli.console import say, say_json
from greenroom_cli.gateway import Gateway
from greenroom_cli.runner import run

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)


def ask(
    question: Callable[[Gateway], Awaitable[Answer]], url: str | None, state: Path | None, *, as_json: bool
) -> Answer:
    """Ask the command's gateway, and print its URL unless the output is JSON."""
    settings = options.settings(state, url)

    async def asking() -> Answer:
        async with Gateway(settings.greenroom_url, settings.api_key) as gateway:
            return await question(gateway)

    answer = run(asking())
    if not as_json:
        say_gateway(settings.greenroom_url)
    return answer


def show_answer(
    question: Callable[[Gateway], Awaitable[Model]],
    url: str | None,
    state: Path | None,
    show: Callable[[Model], None],
    *,
    as_json: bool,
) -> None:
    """Ask the command's gateway, and print its answer as JSON or with `show`."""
    found = ask(question, url, state, as_json=as_json)
    if as_json:
        say_json(found.model_dump(mode="json", by_alias=True))
    else:
        show(found)


def say_gateway(url: str) -> None:
    say(f"gateway {url}", style="dim")
