"""Checks that no file, function or class of the parts has grown beyond the limits: then look for the second idea.

    python docs/sizes.py        # from any folder; part of `make check`

Exits with 1, and lists the places, if one exceeds its limit. A class's attributes are those that its methods assign,
also to what `cls` makes (then those that its body declares count, too), and the fields of a dataclass with methods. A
record without methods may have any number of fields, and so may the models of messages and settings. Tests and
migrations have no limits.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
LIMITS: Final = {
    "lines of a file": 400,
    "lines of a function": 50,
    "attributes of a class": 12,
    "methods of a class": 20,
}
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def sizes(path: str, source: str) -> Iterator[tuple[str, str, int]]:
    """Yield (place, limit, size) for a file and all that it defines."""
    yield path, "lines of a file", source.count("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FUNCTION):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{path}:{node.lineno} {node.name}", "lines of a function", lines
        elif isinstance(node, ast.ClassDef):
            place = f"{path}:{node.lineno} {node.name}"
            yield place, "attributes of a class", len(assigned(node) | fields(node))
            yield place, "methods of a class", sum(isinstance(part, FUNCTION) for part in node.body)


def assigned(node: ast.ClassDef) -> set[str]:
    """The attributes that this class assigns to `self` or to an object that `cls` makes, and those of its body then."""
    made = {
        target.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Call)
        if isinstance(inner.value.func, ast.Name) and inner.value.func.id == "cls"
        for target in inner.targets
        if isinstance(target, ast.Name)
    }
    found = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
        if isinstance(inner.value, ast.Name) and inner.value.id in {"self", *made}
    }
    declared = {
        part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }
    return found | declared if made else found


def fields(node: ast.ClassDef) -> set[str]:
    """The fields of a dataclass with methods; of another class, none."""
    decorators = [part.func if isinstance(part, ast.Call) else part for part in node.decorator_list]
    is_dataclass = any(isinstance(part, ast.Name) and part.id == "dataclass" for part in decorators)
    if not is_dataclass or not any(isinstance(part, FUNCTION) for part in node.body):
        return set()
    annotated = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
    return {target.id for target in annotated if isinstance(target, ast.Name)}


def too_large(path: str, source: str) -> list[str]:
    found = [entry for entry in sizes(path, source) if entry[2] > LIMITS[entry[1]]]
    return [f"{place}: {size} {what}; the limit is {LIMITS[what]}" for place, what, size in found]


def main() -> int:
    names = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    parts = [name for name in names if not name.startswith("tests/") and "/migrations/" not in name]
    found = [line for name in parts if (ROOT / name).exists() for line in too_large(name, (ROOT / name).read_text())]
    print("\n".join(found) if found else f"sizes: {len(parts)} files within the limits")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
