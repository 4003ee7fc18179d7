"""Regenerates the API documents from the code: `make docs`."""

import json
from pathlib import Path

from contracts import asyncapi, schemas
from gateway import app

HERE = Path(__file__).resolve().parent


def documents() -> dict[Path, str]:
    """Each document's file and the text that it should hold."""
    openapi = json.dumps(app.openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return {HERE / "asyncapi.json": schemas.text(asyncapi.document()), HERE / "openapi.json": openapi}


if __name__ == "__main__":
    for file, text in documents().items():
        file.write_text(text, encoding="utf-8")
