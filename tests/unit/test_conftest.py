"""Parameters of tests whose names or order would differ from process to process."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_generate_tests

CASES: list[tuple[Any, Callable[[object], str] | None]] = [
    ({"a", "b"}, None),
    (frozenset({"a"}), None),
    ([({"a", "b"}, 1)], str),
    ([pytest.param({"keys": [{"a", "b"}]})], str),
]


def generate(cases: Any, ids: Callable[[object], str] | None = None) -> None:
    mark = pytest.mark.parametrize("case", cases, ids=ids).mark
    definition: Any = SimpleNamespace(nodeid="test_it", iter_markers=lambda _name: [mark])
    pytest_generate_tests(SimpleNamespace(definition=definition))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("cases", "ids"), CASES)
def test_a_set_of_parameters_and_a_name_made_from_one_are_refused(
    cases: Any, ids: Callable[[object], str] | None
) -> None:
    with pytest.raises(pytest.fail.Exception, match="a set has no order"):
        generate(cases, ids)


def test_a_set_that_gives_a_test_no_name_is_taken() -> None:
    generate([({"a", "b"}, 1)])
    generate([("a", "b")], str)


def test_parameters_that_can_be_read_once_are_left_to_pytest() -> None:
    cases = iter([("a", 1), ("b", 2)])
    generate(cases, str)
    assert len([*cases]) == 2
