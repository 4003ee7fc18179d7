"""Limits on the number of entries, checked before the entries: an error for each of 100,000 entries takes seconds."""

from typing import Any, Final, cast

from pydantic import BeforeValidator

MOST_FIELDS: Final = 64
"""Limit of fields of one object in a request; every model has far fewer."""


def at_most(count: int) -> BeforeValidator:
    """Refuse a list or an object with more than `count` entries, with a single error."""
    return BeforeValidator(lambda value: checked_count(value, count))


def checked_count(value: Any, count: int = MOST_FIELDS) -> Any:
    """Return the value unchanged.

    Raises:
        ValueError: The value is a list or an object with more than `count` entries.
    """
    if isinstance(value, list | tuple | dict) and len(cast("list[Any]", value)) > count:
        raise ValueError(f"has {len(cast('list[Any]', value))} entries; send at most {count}")
    return cast("Any", value)
