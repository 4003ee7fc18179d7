from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PARTS = ("contracts", "chassis", "gateway", "scheduler", "agent_runner", "billing", "sandbox", "greenroom_cli")


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions and under `TYPE_CHECKING` count, too."""
    graph = grimp.build_graph(*PARTS, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("an import circle: " + " -> ".join(reversed(error.args[1])))
