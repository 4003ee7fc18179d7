"""A task that outlives the function that begins it is one of `chassis.tasks.Tasks`, which logs its failure."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RAW = {"create_task", "ensure_future"}
READ = {
    "chassis/src/chassis/health.py": "the next probe reads the result",
    "sandbox/src/sandbox/speech/pool.py": "its end is logged; the sandbox runs without chassis",
    "services/agent-runner/src/agent_runner/worker/call/start.py": "its function waits for it, too",
    "services/agent-runner/src/agent_runner/worker/pipeline/agent_pipeline.py": "its end tells the call, by name alone",
    "services/gateway/src/gateway/adapters/shared_read.py": "each caller reads the result",
}
"""Where a raw task is kept all the same, and why."""


def kept(tree: ast.AST) -> Iterator[ast.Assign]:
    """The assignments of a raw task to an attribute."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not any(isinstance(target, ast.Attribute) for target in node.targets):
            continue
        call = node.value
        is_raw = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in RAW
        if is_raw and "task_manager" not in ast.unparse(call):  # Pipecat's, which logs failures
            yield node


def test_a_task_that_is_kept_is_seen_to_fail() -> None:
    sources = [*ROOT.glob("services/*/src"), *(ROOT / name / "src" for name in ("chassis", "cli", "sandbox"))]
    files = [file for source in sources for file in source.rglob("*.py")]
    found = {str(file.relative_to(ROOT)) for file in files if any(kept(ast.parse(file.read_text())))}

    assert found == set(READ)
