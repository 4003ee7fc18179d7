"""`python -m contracts.schemas` writes the JSON Schema of every message to contracts/schemas.

A published schema is a promise. If the code breaks one, the command fails and writes nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from contracts.catalogue import MESSAGES, Message
from contracts.compatibility import breaking_changes

FOLDER: Final = Path(__file__).parents[2] / "schemas"
EXAMPLES: Final = FOLDER.parent / "examples"

MAKE_A_V2: Final = (
    "Only a new field with a default may be added. Anything else is a new class on a new v2 subject, "
    "and both are published until the last reader has moved."
)


def schema(message: Message) -> dict[str, Any]:
    """The JSON Schema of a message's body on the wire."""
    body = message.adapter.json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{message.name}.json", **body}


def text(document: dict[str, Any]) -> str:
    """A document as the text of a file; equal documents give equal bytes."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def path(message: Message, folder: Path = FOLDER) -> Path:
    return folder / f"{message.name}.json"


def broken_promises(folder: Path = FOLDER) -> list[str]:
    """List the incompatible changes of the code against the published schemas."""
    found: list[str] = []
    for message in MESSAGES:
        file = path(message, folder)
        if file.exists():
            published = json.loads(file.read_text(encoding="utf-8"))
            found += [f"{message.name}: {change}" for change in breaking_changes(published, schema(message))]
    known = {path(message, folder).name for message in MESSAGES}
    found += [
        f"{file.stem}: published, but the code has no such message"
        for file in sorted(folder.glob("*.json"))
        if file.name not in known
    ]
    return found


def write(folder: Path = FOLDER) -> list[str]:
    """Publish every schema; returns the incompatible changes, and writes nothing if there are any."""
    broken = broken_promises(folder)
    if not broken:
        folder.mkdir(parents=True, exist_ok=True)
        for message in MESSAGES:
            path(message, folder).write_text(text(schema(message)), encoding="utf-8")
    return broken


def main() -> int:
    """Write the schemas; returns exit code 1 when a schema changed incompatibly."""
    broken = write()
    if broken:
        sys.stderr.write("\n".join([*broken, MAKE_A_V2]) + "\n")
        return 1
    sys.stdout.write(f"{len(MESSAGES)} schemas\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
