"""The check of a tool's parameters against the meta-schema of JSON Schema.

Providers of language models refuse every request with an invalid schema (status 400), so the whole call would fail.
jsonschema-rs needs 1 ms for the longest schema. jsonschema, in Python, needs up to 0.6 s, which other requests would
wait for.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final

import jsonschema_rs
import regress

from contracts.errors import FieldError
from contracts.tools import part_at, references

MOST_ERRORS: Final = 5
"""Limit of the errors of one schema."""
MAX_FIELD_CHARS: Final = 300
"""Of a path, which has the client's names, as in other refusals."""

_LATEST: Final = "https://json-schema.org/draft/2020-12/schema"
_DRAFT_2019: Final = "https://json-schema.org/draft/2019-09/schema"
_DRAFTS: Final = {
    _LATEST: jsonschema_rs.Draft202012Validator,
    _DRAFT_2019: jsonschema_rs.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "http://json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "http://json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
}
_TYPES: Final = "array, boolean, integer, null, number, object, string"
_CHECKED_PLACE: Final = re.compile(r"#(/(definitions|properties)/[^/]*)?")
_CHECKED_DEFS: Final = re.compile(r"#/\$defs/[^/]*")  # by the drafts that have them

# JSON Schema's patterns are JavaScript's. Clients also send these forms of Python and Go, which providers take.
_FOREIGN_FORM: Final = re.compile(r"\(\?(?:[aiLmsux]+\)|(?P<group>P?<)(?![=!])|>)")


def schema_errors(schema: dict[str, Any], field: str) -> tuple[FieldError, ...]:
    """Name what is wrong in a tool's parameters, without the values.

    Args:
        schema: Has passed the limits of `contracts.tools`, which bound its length, its depth and its references.
        field: Where it stands in the request.
    """
    found: dict[str, str] = {}
    draft = _draft(schema)
    meta_schema = _meta_schema(draft)
    faults = ((place, fault) for place, part in _parts(schema, draft) for fault in meta_schema.iter_errors(part))
    for place, fault in faults:
        path = [*place, *map(str, fault.instance_path)]
        found.setdefault(".".join([field, *path]), _told(fault.kind, path))
        if len(found) >= MOST_ERRORS:
            break
    return tuple(FieldError(field=name[:MAX_FIELD_CHARS], message=message) for name, message in found.items())


def _parts(schema: dict[str, Any], draft: str) -> Iterator[tuple[list[str], Any]]:
    """The schema, and what it refers to at places that the meta-schema may not know, each once and with its path."""
    yield [], schema
    has_defs = draft in (_LATEST, _DRAFT_2019)
    seen: set[int] = set()  # several references may lead to one part: "~" and "~0" are the same name
    for ref in sorted(set(references(schema))):
        if _CHECKED_PLACE.fullmatch(ref) or (has_defs and _CHECKED_DEFS.fullmatch(ref)):
            continue
        part = part_at(ref, schema)
        if id(part) not in seen:
            seen.add(id(part))
            yield ref.split("/")[1:], part


def _draft(schema: dict[str, Any]) -> str:
    """The draft that a schema names, with http or https: tools write both."""
    named = schema.get("$schema")
    place = re.sub("^https?:", "", named).rstrip("#") if isinstance(named, str) else ""
    return next((url for url in _DRAFTS if url.partition(":")[2] == place), _LATEST)


@cache
def _meta_schema(draft: str) -> jsonschema_rs.Validator:
    formats = {"regex": _is_pattern, "uri": _is_anything, "uri-reference": _is_anything}
    return _DRAFTS[draft]({"$ref": draft}, formats=formats, validate_formats=True, offline=True)


@lru_cache(maxsize=64)
def _is_pattern(text: str) -> bool:
    """Whether it compiles; it never runs here, so one that would take for ever does no harm.

    Remembered, since a part of a schema is checked again for each reference to what is around it.
    """
    try:
        regress.Regex(_FOREIGN_FORM.sub(_in_javascript, text))
    except regress.RegressError:
        return False
    return True


def _in_javascript(form: re.Match[str]) -> str:
    if form["group"]:
        return "(?<"
    return "(?:" if form[0] == "(?>" else ""


def _is_anything(_: str) -> bool:
    return True


def _told(kind: jsonschema_rs.ValidationErrorKind, path: list[str]) -> str:
    keyword = path[-1] if path else ""
    match kind.name:
        case "anyOf" if keyword == "type":
            return f"must be a type of JSON Schema ({_TYPES}), or a list of different ones"
        case "type" if keyword == "required":
            return "must be a list of names of properties, beside `properties`"
        case "type" if set(kind.value) == {"object", "boolean"}:
            instead = "; use `prefixItems` for a list of schemas" if keyword == "items" else ""
            return f"must be a schema: an object, true or false{instead}"
        case "type":
            return f"must be of type {' or '.join(kind.value)}"
        case "format":
            return "must be a regular expression of JavaScript (ECMA-262)"
        case "propertyNames":
            return "has a name that is not a regular expression of JavaScript (ECMA-262)"
        case "uniqueItems":
            return "must not hold the same value twice"
        case "minimum":
            return f"must be at least {kind.value}"
        case "exclusiveMinimum":
            return f"must be greater than {kind.value}"
        case "minItems":
            return f"must have at least {kind.value} entry"
        case _:
            return f"must be what JSON Schema's {keyword or 'root'} takes"
