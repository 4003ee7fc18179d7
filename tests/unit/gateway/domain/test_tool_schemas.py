"""The check of tools' parameters against the meta-schema."""

import itertools
import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Refused
from contracts.tools import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, Tool
from gateway.domain.tool_schemas import MAX_FIELD_CHARS, MOST_ERRORS, schema_errors
from gateway.domain.tools import check_tools

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def objects(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def faults(schema: dict[str, Any]) -> dict[str, str]:
    return {error.field.removeprefix("p").removeprefix("."): error.message for error in schema_errors(schema, "p")}


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        ({"type": "objct"}, "type", "must be a type of JSON Schema (array, boolean"),
        (objects(city={"type": 7}), "properties.city.type", "must be a type of JSON Schema"),
        (objects(city={"type": ["string", "nul"]}), "properties.city.type", "or a list of different ones"),
        (objects(city={"enum": "x"}), "properties.city.enum", "must be of type array"),
        (objects(city="string"), "properties.city", "must be a schema: an object, true or false"),
        (objects(city={"required": True}), "properties.city.required", "beside `properties`"),
        (objects(city={"minLength": -1}), "properties.city.minLength", "must be at least 0"),
        (objects(city={"multipleOf": 0}), "properties.city.multipleOf", "must be greater than 0"),
        (objects(city={"anyOf": []}), "properties.city.anyOf", "must have at least 1 entry"),
        (objects(city={"items": [{"type": "string"}]}), "properties.city.items", "`prefixItems`"),
        (objects(city={"pattern": "(["}), "properties.city.pattern", "must be a regular expression"),
        (objects(city={"pattern": "(" * 2_000 + ")" * 2_000}), "properties.city.pattern", "regular expression"),
        ({"patternProperties": {"(": {}}}, "patternProperties", "a name that is not a regular expression"),
        ({"$defs": {"a": {"type": "x"}}}, "$defs.a.type", "must be a type"),
        ({**objects(a={}), "required": ["a", "a"]}, "required", "must not hold the same value twice"),
        ({**objects(a={}), "required": ["a", 7]}, "required.1", "must be of type string"),
        ({"$schema": DRAFT_7, **objects(a={"exclusiveMinimum": True})}, "properties.a.exclusiveMinimum", "number"),
        ({"$schema": "https://example.org/own", "type": "objct"}, "type", "must be a type"),
        ({"$schema": 7}, "$schema", "must be of type string"),
        ({"x": {"a": {"type": "y"}}, **objects(b={"$ref": "#/x/a"})}, "x.a.type", "must be a type"),
        (
            {"$schema": DRAFT_7, "$defs": {"a": {"type": 7}}, **objects(b={"$ref": "#/$defs/a"})},
            "$defs.a.type",
            "a type",
        ),
        (objects(a={"x": {"type": "y"}}, b={"$ref": "#/properties/a/x"}), "properties.a.x.type", "must be a type"),
        ({"properties": {}, "$id": "a#b"}, "$id", "must be what JSON Schema's $id takes"),
    ],
)
def test_a_fault_is_named_with_its_path_and_what_it_must_be(schema: dict[str, Any], field: str, message: str) -> None:
    found = faults(schema)
    assert list(found) == [field]
    assert message in found[field]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        objects(a=True, b={}, type={"type": "string"}, pattern={"type": "string"}, required={"type": "boolean"}),
        objects(a={"type": "string", "nullable": True, "example": "x", "x-order": {"type": 7}, "format": "own"}),
        objects(a={"default": {"type": 7, "pattern": "("}, "enum": [{"type": 7}], "const": {"required": True}}),
        {"$schema": DRAFT_7, **objects(a={"items": [{}, {}]}), "definitions": {"b": {}}},
        {"$schema": DRAFT_7.replace("http:", "https:"), **objects(a={"items": [{}, {}]})},
        {"$schema": "http://json-schema.org/draft/2019-09/schema", **objects(a={"items": [{}, {}]})},
        {"$schema": "http://json-schema.org/draft-04/schema#", **objects(a={"minimum": 1, "exclusiveMinimum": True})},
        {"$schema": "https://example.org/own", "$id": "not a URI", **objects()},
        {"$defs": {"node": objects(next={"$ref": "#/$defs/node"})}, **objects(first={"$ref": "#/$defs/node"})},
        {**objects(a={}), "required": ["a", "b"]},  # nothing describes b, which JSON Schema allows
        {"required": []},
    ],
    ids=str,
)
def test_a_valid_schema_has_no_fault(schema: dict[str, Any]) -> None:
    assert faults(schema) == {}


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\w-.]+@\p{L}+\.[a-z]{2,}$",
        r"\u{1F600}",
        r"(?<year>\d{4})-\k<year>",
        r"(?<!-)(?<=a+)b",
        r"^\/\_\-$",
        r"(?i)yes|no",
        r"(?P<year>\d{4})",
        r"(?>a|b)c",
        r"\(?P<",
        "((a+)+)+$",
        "a{1,99999999999999999999}",
    ],
)
def test_a_pattern_of_javascript_or_in_a_common_form_of_other_languages_is_taken(pattern: str) -> None:
    assert faults(objects(a={"pattern": pattern})) == {}


def test_a_value_is_not_repeated() -> None:
    secret = "sk-12345"
    schema = objects(a={"type": secret, "enum": secret, "pattern": f"({secret}", "minimum": secret, "$ref": [secret]})
    found = faults(schema)
    assert len(found) == MOST_ERRORS
    assert secret not in str(found)


def test_of_many_faults_the_first_are_named() -> None:
    assert len(faults(objects(**{f"p{n}": n for n in range(300)}))) == MOST_ERRORS


def test_the_refusal_of_many_tools_with_long_names_stays_short() -> None:
    parameters = objects(**{sign * 700: {"type": 7} for sign in "abcde"})
    tools = [Tool(name=f"t{n}", description="d", url="https://a.example", parameters=parameters) for n in range(5)]
    with pytest.raises(Refused) as refused:
        check_tools(tools, ())
    errors = refused.value.errors
    assert len(errors) == 20
    assert max(len(error.field) for error in errors) == MAX_FIELD_CHARS


def deep(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": 7}
    for _ in range(levels - 1):
        inner = {"not": inner}
    return inner


def spent_s(schema: dict[str, Any]) -> float:
    """CPU seconds of a check."""
    began = time.process_time()
    schema_errors(schema, "p")
    return time.process_time() - began


WIDE = {"anyOf": [{}] * 1_000}
MANY_REFS = {"x": deep(MAX_SCHEMA_DEPTH - 3), "allOf": [{"$ref": "#/x" + "/not" * n} for n in range(10)] * 8}
NAMES_OF_ONE_PART = ["".join(signs) for signs in itertools.product(["~", "~0"], repeat=6)]
ONE_PART = {"~" * 6: {"pattern": "|".join("a" * 900)}, "allOf": [{"$ref": f"#/{name}"} for name in NAMES_OF_ONE_PART]}


@pytest.mark.parametrize(
    "schema",
    [WIDE, MANY_REFS, ONE_PART, deep(MAX_SCHEMA_DEPTH), objects(a={"pattern": "[\\p{L}]{99}" * 300})],
    ids=range(5),
)
def test_a_schema_within_the_limits_is_checked_in_little_time(schema: dict[str, Any]) -> None:
    assert len(json.dumps(schema)) <= MAX_SCHEMA_BYTES
    common = objects(**{f"p{n}": {"type": "string"} for n in range(100)})
    assert spent_s(schema) < 300 * min(spent_s(common) for _ in range(5))


KEYWORDS = [
    *("type", "properties", "required", "enum", "items", "prefixItems", "anyOf", "not", "additionalProperties"),
    *("minLength", "minimum", "multipleOf", "uniqueItems", "description", "$defs", "dependentRequired", "unknown"),
]
NAMES = st.sampled_from(["string", "object", "integer", "a", "b", "objct"])
SCALARS = NAMES | st.integers(-2, 2) | st.booleans() | st.none() | st.floats(-2, 2)
SCHEMAS = st.recursive(
    st.just({}) | st.booleans() | st.fixed_dictionaries({"type": NAMES}),
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS), SCALARS | st.lists(NAMES) | inner | st.lists(inner) | st.dictionaries(NAMES, inner)
    ),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@given(schema=SCHEMAS)
def test_what_is_accepted_is_what_another_implementation_of_the_meta_schema_accepts(schema: dict[str, Any]) -> None:
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    assert (not faults(schema)) == meta.is_valid(schema)  # pyright: ignore[reportUnknownMemberType]
