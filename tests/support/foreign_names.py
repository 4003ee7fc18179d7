"""The private names of other packages that our source defines or uses."""

import ast
import inspect
import textwrap


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def used(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)}


def defined(tree: ast.AST) -> set[str]:
    """Private names that this source defines: methods, class attributes, attributes of `self`."""
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(attr=name, value=ast.Name(id="self"), ctx=ast.Store()):
                found.add(name)
            case _:
                pass
    return {name for name in found if is_private(name)}


def source(found: type) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(found)))


def path(found: type) -> str:
    return f"{found.__module__}.{found.__qualname__}"


def signature(member: object) -> str:
    if isinstance(member, property):
        return "property"
    return str(inspect.signature(member)) if inspect.isroutine(member) else "attribute"
