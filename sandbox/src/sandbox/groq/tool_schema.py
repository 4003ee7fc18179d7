"""What Groq refuses in the JSON Schema of a tool's parameters."""

import re
from typing import Any, Final

import jsonschema_rs

# Another address of a meta-schema would be fetched.
_KNOWN_DRAFT: Final = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")


def fault_of(schema: dict[str, Any]) -> str | None:
    """Return the first fault of a schema in Groq's form; None: it is valid."""
    if "required" in schema and not schema.get("properties"):
        return "'required' present but 'properties' is missing"
    draft = schema.get("$schema")
    has_known_draft = isinstance(draft, str) and _KNOWN_DRAFT.fullmatch(draft)
    checked = schema if has_known_draft else {name: part for name, part in schema.items() if name != "$schema"}
    try:
        jsonschema_rs.meta.validate(checked)
    except jsonschema_rs.ValidationError as error:
        return f"`/{'/'.join(map(str, error.instance_path))}`: {error.message}"
    return None
