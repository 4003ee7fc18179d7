"""Loguru's lines."""

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Loguru's lines at INFO and above."""
    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO", format="{message}")
    yield lines
    logger.remove(sink)
