"""Imports that skip an optional dependency although it is installed."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def without(name: str) -> Generator[None]:
    """Import as if a package were not installed. Later imports find it; a package imported earlier stays.

    Args:
        name: A top-level package that is optional for the imports in the block.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(ModuleType, None)  # None makes `import` raise ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[name]
