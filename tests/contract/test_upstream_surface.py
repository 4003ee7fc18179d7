"""The private names of Pipecat and the LiveKit SDK that the worker overrides or touches (docs/decisions/0034).

`upstream_surface.json` records the signature of each and the defaults of Pipecat's aggregators. After an upgrade read
what changed upstream, mend the worker, run its tests with real servers, then record: `python -m
tests.contract.test_upstream_surface`.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import agent_runner.worker
from tests.support.foreign_names import defined, is_private, path, signature, source, used

ADR = "docs/decisions/0034"
RECORD = Path(__file__).with_name("upstream_surface.json")
WORKER = Path(agent_runner.worker.__file__ or "").parent
FENCED = ("providers", "room")
UPSTREAM = ("pipecat.", "livekit.")
# Privates of objects that our classes hold, and not of their bases.
HELD = {
    "_callbacks": "pipecat.transports.livekit.transport.LiveKitTransportClient",
    "_slots": "pipecat.utils.context.aggregated_frame_sequencer.AggregatedFrameSequencer",
    "_instance": "livekit.rtc._ffi_client.FfiClient",
}
PRIVATE_MODULES = {
    "livekit.rtc._ffi_client": ("FfiClient", "ffi_cb_fnc", "get_ffi_lib"),
    "livekit.rtc._proto.ffi_pb2": ("FfiEvent",),
}
STANDARD_LIBRARY = {"_exit", "_fd"}


def modules(*, fenced: bool) -> Iterator[tuple[str, ModuleType, ast.Module]]:
    for file in sorted([*WORKER.rglob("*.py"), WORKER.with_name("preload.py")]):
        room = file.relative_to(WORKER).parts[0] if file.is_relative_to(WORKER) else ""
        if (room in FENCED) == fenced and file.name not in ("__init__.py", "preload.py", "direct.py"):
            name = ".".join(("agent_runner.worker", *file.relative_to(WORKER).with_suffix("").parts))
            yield room, importlib.import_module(name), ast.parse(file.read_text())


def classes(module: ModuleType) -> Iterator[tuple[type, list[type]]]:
    """Our classes of a module, with their upstream bases."""
    for found in vars(module).values():
        if inspect.isclass(found) and found.__module__ == module.__name__:
            yield found, [base for base in found.__mro__ if base.__module__.startswith(UPSTREAM)]


def surface() -> dict[str, dict[str, str]]:
    """room -> upstream name, in the first base that has it -> its signature, or "attribute"."""
    rooms: dict[str, dict[str, str]] = {room: {} for room in FENCED}
    for room, module, tree in modules(fenced=True):
        names = used(tree)
        for ours, bases in classes(module):
            mine = defined(source(ours)) | used(source(ours)) | vars(ours).keys()
            for base in bases:
                theirs = {name for name in mine & (defined(source(base)) | vars(base).keys()) if is_surface(name, base)}
                rooms[room] |= {f"{path(base)}.{name}": signature(vars(base).get(name)) for name in theirs}
                mine -= theirs
                names -= theirs
        rooms[room] |= {f"{HELD[name]}.{name}": "attribute" for name in names & HELD.keys()}
    for name, members in PRIVATE_MODULES.items():
        module = importlib.import_module(name)
        rooms["room"] |= {f"{name}.{member}": signature(getattr(module, member)) for member in members}
    return {room: dict(sorted(found.items())) for room, found in rooms.items()}


def is_surface(name: str, base: type) -> bool:
    """Private names, and public methods, which we override."""
    return name != "_abc_impl" and (is_private(name) or (callable(vars(base).get(name)) and not name.startswith("__")))


def header(room: str) -> dict[str, set[str]]:
    """class -> the private names that the room's docstring lists for it."""
    doc = importlib.import_module(f"agent_runner.worker.{room}").__doc__ or ""
    listed = re.findall(r"^- (\w+): ((?:[\w, ]|\n  )+)", doc, re.MULTILINE)
    return {owner: {*re.findall(r"\w+", names)} for owner, names in listed}


def owners(names: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        *_, owner, last = name.split(".")
        if "._" in name:
            found.setdefault(owner, set()).add(last)
    return found


def defaults() -> dict[str, dict[str, str]]:
    from pipecat.processors.aggregators.llm_response_universal import (
        LLMAssistantAggregatorParams,
        LLMUserAggregatorParams,
    )
    from pipecat.turns.user_turn_strategies import UserTurnStrategies

    strategies = UserTurnStrategies()
    return {
        LLMUserAggregatorParams.__name__: fields(LLMUserAggregatorParams()),
        LLMAssistantAggregatorParams.__name__: fields(LLMAssistantAggregatorParams()),
        UserTurnStrategies.__name__: {
            "start": ", ".join(type(one).__name__ for one in strategies.start or ()),
            "stop": ", ".join(type(one).__name__ for one in strategies.stop or ()),
        },
    }


def fields(params: object) -> dict[str, str]:
    assert dataclasses.is_dataclass(params)
    return {field.name: repr(getattr(params, field.name)) for field in dataclasses.fields(params)}


@pytest.mark.parametrize("room", FENCED)
def test_no_private_name_has_changed_upstream(room: str) -> None:
    recorded, found = json.loads(RECORD.read_text())["surface"][room], surface()[room]
    changed = sorted(name for name in recorded | found if recorded.get(name) != found.get(name))
    assert not changed, f"read {ADR}, then record: " + "; ".join(
        f"{name} was {recorded.get(name, 'not used')}, is {found.get(name, 'gone')}" for name in changed
    )


@pytest.mark.parametrize("room", FENCED)
def test_a_rooms_header_lists_its_private_names(room: str) -> None:
    found = owners(surface()[room])
    lines = (f"- {owner}: {', '.join(sorted(names))}" for owner, names in found.items())
    assert header(room) == found, f"agent_runner/worker/{room}/__init__.py must list:\n" + "\n".join(lines)


def test_only_those_rooms_touch_private_names() -> None:
    for _room, module, tree in modules(fenced=False):
        assert used(tree) - defined(tree) <= STANDARD_LIBRARY, module.__name__
        assert not private_imports(tree), module.__name__
        for ours, bases in classes(module):
            for base in bases:
                assert not {name for name in defined(source(ours)) if is_surface(name, base)} & defined(source(base))


def test_those_rooms_import_only_the_recorded_private_modules() -> None:
    for _room, module, tree in modules(fenced=True):
        assert private_imports(tree) <= PRIVATE_MODULES.keys(), module.__name__


def private_imports(tree: ast.AST) -> set[str]:
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(UPSTREAM):
            for alias in node.names:
                is_module = is_private(alias.name)
                name = f"{node.module}.{alias.name}" if is_module else node.module or ""
                found |= {name} if "._" in name else set()
    return found


def test_pipecats_aggregators_have_the_recorded_defaults() -> None:
    found = defaults()
    assert found == json.loads(RECORD.read_text())["defaults"], f"a default of Pipecat changed: read {ADR}, then record"


if __name__ == "__main__":
    RECORD.write_text(json.dumps({"surface": surface(), "defaults": defaults()}, indent=1) + "\n")
