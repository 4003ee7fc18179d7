"""Compare two versions of a published schema. Only a new optional field is allowed; other changes need a new class."""

from typing import Any, Final, cast

Schema = dict[str, Any]

_BESIDE: Final = frozenset({"$defs", "discriminator"})
_WORDS: Final = frozenset({"title", "description", "examples", "$schema", "$id"})
_NOT_COMPARED: Final = _WORDS | {"properties", "required"}  # the last two are compared field by field


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """List the changes that break a reader or a writer of the old schema; empty when the schemas are compatible.

    Args:
        old: The published JSON Schema.
        new: The JSON Schema of the current code.
    """
    return _compare("", _resolved(old, old), _resolved(new, new))


def _compare(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return _compare_schemas(where, cast(Schema, old), cast(Schema, new))
    if isinstance(old, list) and isinstance(new, list):
        before, after = cast(list[Any], old), cast(list[Any], new)
        if len(before) == len(after):
            return [found for a, b in zip(before, after, strict=True) for found in _compare(where, a, b)]
    return [] if old == new else [f"{where or 'the message'}: {old!r} became {new!r}"]


def _compare_schemas(where: str, old: Schema, new: Schema) -> list[str]:
    found: list[str] = []
    before: Schema = old.get("properties", {})
    after: Schema = new.get("properties", {})
    was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        place = f"{where}.{name}" if where else name
        if name not in after:
            found.append(f"{place}: removed or renamed")
            continue
        if (name in was_required) != (name in is_required):
            found.append(f"{place}: became {'required' if name in is_required else 'optional'}")
        found += _compare(place, before[name], after[name])
    found += [
        f"{where}.{name}: new and required, but old messages do not have it".lstrip(".")
        for name in after
        if name not in before and name in is_required
    ]
    for key in sorted((old.keys() | new.keys()) - _NOT_COMPARED):
        if key in old and key in new:
            found += _compare(where, old[key], new[key])
        else:
            found.append(f"{where or 'the message'}: {key} was {old.get(key)!r} and is {new.get(key)!r}")
    return found


def _resolved(schema: Any, root: Schema) -> Any:
    """Replace each reference by its target, so that renaming a class does not count as a change."""
    if isinstance(schema, list):
        return [_resolved(item, root) for item in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    inner = cast(Schema, schema)
    if isinstance(inner.get("$ref"), str):
        target = root["$defs"][inner["$ref"].removeprefix("#/$defs/")]
        return {**_resolved(target, root), **{k: v for k, v in inner.items() if k != "$ref"}}
    return {key: _resolved(value, root) for key, value in inner.items() if key not in _BESIDE}
