"""The private names of nats-py, FastStream and uvicorn that chassis overrides or touches.

`chassis_surface.json` records the signature of each, and pyproject.toml bounds the versions. After an upgrade read what
changed upstream, mend chassis, run its tests with real servers, then record: `python -m
tests.contract.test_chassis_surface`.
"""

import ast
import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import chassis
from tests.support.foreign_names import defined, is_private, path, signature, source, used

RECORD = Path(__file__).with_name("chassis_surface.json")
CHASSIS = Path(chassis.__file__ or "").parent
UPSTREAM = ("nats.", "faststream.", "uvicorn.", "httptools.")
# uvicorn documents no member of its protocol, so every member of these that we use is recorded.
UNDOCUMENTED = ("uvicorn.protocols.",)
# Privates that we use on other objects than `self`.
HELD = {
    "_build_message": "nats.aio.client.Client",
    "_original_call": "faststream._internal.endpoint.call_wrapper.HandlerCallWrapper",
    "_process_headers": "nats.aio.client.Client",
}
PUBLIC = {"_exit", "_replace"}  # of the standard library, and documented
STANDARD_LIBRARY = {"_srcfile"}  # of logging; its documentation says to set it


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    for file in sorted(CHASSIS.rglob("*.py")):
        parts = file.relative_to(CHASSIS.parent).with_suffix("").parts
        yield importlib.import_module(".".join(parts).removesuffix(".__init__")), ast.parse(file.read_text())


def surface() -> dict[str, str]:
    """Upstream name, in the first base that has it -> its signature, or "attribute"."""
    found: dict[str, str] = {}
    for module, tree in modules():
        for ours in (
            one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__
        ):
            mine = members(source(ours)) | vars(ours).keys()
            for base in (one for one in ours.__mro__ if one.__module__.startswith(UPSTREAM)):
                theirs = mine & (members_of(base) | vars(base).keys())
                theirs = {name for name in theirs if is_recorded(name, base)}
                found |= {f"{path(base)}.{name}": signature(vars(base).get(name)) for name in theirs}
                mine -= theirs
        found |= {f"{HELD[name]}.{name}": written(HELD[name], name) for name in used(tree) & HELD.keys()}
    return dict(sorted(found.items()))


def written(owner: str, name: str) -> str:
    """The arguments of a method as its source has them: chassis replaces some methods at its import."""
    module, _, cls = owner.rpartition(".")
    for node in ast.walk(source(getattr(importlib.import_module(module), cls))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return f"({ast.unparse(node.args)})"
    return "gone"


def members(tree: ast.AST) -> set[str]:
    """The names that a class uses on itself."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def members_of(base: type) -> set[str]:
    try:
        return members(source(base))
    except (OSError, TypeError):  # a class of a compiled module
        return set()


def is_recorded(name: str, base: type) -> bool:
    if name.startswith("__") or name == "_abc_impl":
        return False
    return is_private(name) or base.__module__.startswith(UNDOCUMENTED)


def test_no_private_name_has_changed_upstream() -> None:
    recorded, found = json.loads(RECORD.read_text()), surface()
    changed = sorted(name for name in recorded | found if recorded.get(name) != found.get(name))
    assert not changed, "read what changed upstream, then record: " + "; ".join(
        f"{name} was {recorded.get(name, 'not used')}, is {found.get(name, 'gone')}" for name in changed
    )


def test_chassis_touches_no_other_private_name() -> None:
    recorded = {name.rpartition(".")[2] for name in json.loads(RECORD.read_text())}
    for module, tree in modules():
        assert used(tree) - defined(tree) <= recorded | PUBLIC | STANDARD_LIBRARY, module.__name__


if __name__ == "__main__":
    RECORD.write_text(json.dumps(surface(), indent=1) + "\n")
