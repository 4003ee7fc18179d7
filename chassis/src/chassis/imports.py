"""Imports that leave out what a package only takes when it happens to be installed."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def without(name: str) -> Generator[None]:
    """Import here as if a package were not installed; later imports find it, and an earlier one stands.

    Args:
        name: A top-level package that what is imported can do without.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(ModuleType, None)  # which the import system takes for "there is none"
    try:
        yield
    finally:
        del sys.modules[name]
