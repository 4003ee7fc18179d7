"""A task that outlives the function that begins it is one of `chassis.tasks.Tasks`, which logs its failure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAW = {"create_task", "ensure_future"}
READ = {
    "chassis/src/chassis/health.py": "the next probe reads the result",
    "sandbox/src/sandbox/speech/pool.py": "its end is logged; the sandbox runs without chassis",
    "services/agent-runner/src/agent_runner/worker/call/start.py": "its function waits for it, too",
    "services/agent-runner/src/agent_runner/worker/pipeline/agent_pipeline.py": "its end tells the call, by name alone",
    "services/gateway/src/gateway/adapters/shared_read.py": "each caller reads the result",
    "services/scheduler/src/scheduler/adapters/nats_words.py": "whoever opens the words reads the result",
}
"""Where a raw task is kept all the same, and why."""


def is_raw(node: ast.AST) -> bool:
    """Whether a raw task is made here. A task group sees its failures, and Pipecat's task manager logs them."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RAW):
        return False
    maker = ast.unparse(node.func.value)
    return maker == "asyncio" or "loop" in maker


def is_local(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) or (isinstance(target, ast.Tuple) and all(map(is_local, target.elts)))


def kept(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements that put a raw task elsewhere than into a local variable: an attribute, a container, nowhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if all(map(is_local, node.targets if isinstance(node, ast.Assign) else [node.target])):
                continue
        elif not isinstance(node, ast.Expr) or isinstance(node.value, ast.Await):
            continue
        if any(map(is_raw, ast.walk(node))):
            yield node


@pytest.mark.parametrize(
    "line",
    [
        "self._reading = asyncio.create_task(read())",
        "self._reading: Task = asyncio.create_task(read())",
        "tasks[name] = asyncio.ensure_future(read())",
        "tasks.add(asyncio.create_task(read()))",
        "asyncio.create_task(read())",
    ],
)
def test_each_way_to_keep_a_task_is_found(line: str) -> None:
    assert len([*kept(ast.parse(line))]) == 1


@pytest.mark.parametrize(
    "line", ["reading = asyncio.create_task(read())", "await asyncio.wait([asyncio.create_task(read())])"]
)
def test_a_task_of_one_function_is_its_own_affair(line: str) -> None:
    assert not [*kept(ast.parse(f"async def one():\n    {line}"))]


def test_a_task_that_is_kept_is_seen_to_fail() -> None:
    sources = [*ROOT.glob("services/*/src"), *(ROOT / name / "src" for name in ("chassis", "cli", "sandbox"))]
    files = [file for source in sources for file in source.rglob("*.py")]
    found = {str(file.relative_to(ROOT)) for file in files if any(kept(ast.parse(file.read_text())))}

    assert found == set(READ)
