"""No file, function or class outgrows its limit."""

import pytest

from docs import sizes


def test_every_part_is_within_the_limits() -> None:
    assert sizes.main() == 0


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("pass\n" * 401, "a.py: 401 lines of a file"),
        ("def f():\n" + "    pass\n" * 50, "a.py:1 f: 51 lines of a function"),
        (
            "class A:\n    def f(self):\n" + "".join(f"        self.a{n}, x = 1, 2\n" for n in range(13)),
            "a.py:1 A: 13 attributes of a class",
        ),
        (
            "class A:\n    a: int\n    def of(cls):\n        made = cls()\n"
            + "".join(f"        made.a{n} = 1\n" for n in range(12)),
            "a.py:1 A: 13 attributes of a class",
        ),
        (
            "@dataclass(frozen=True)\nclass A:\n    def f(self): ...\n"
            + "".join(f"    a{n}: int = 0\n" for n in range(13)),
            "a.py:2 A: 13 attributes of a class",
        ),
        ("class A:\n" + "".join(f"    def f{n}(self): ...\n" for n in range(21)), "a.py:1 A: 21 methods of a class"),
    ],
)
def test_one_beyond_a_limit_is_named_and_one_within_is_not(source: str, place: str) -> None:
    (found,) = sizes.too_large("a.py", source)
    assert found.startswith(f"{place}; the limit is ")
    last = source.rstrip("\n").rfind("\n")
    assert sizes.too_large("a.py", source[: last + 1]) == []


def test_a_record_without_methods_may_have_any_number_of_fields() -> None:
    source = "@dataclass\nclass A:\n" + "".join(f"    a{n}: int\n" for n in range(30))
    assert sizes.too_large("a.py", source) == []
