"""The body of a start from a file, with a command's options over it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from greenroom_cli.errors import CommandError


def start_body(file: Path, options: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any] | bytes:
    """The file's fields; `options` replace them, and `default` has what neither names.

    The gateway checks the fields, and gets the text of a file that is not a JSON object, so that a mistake has the
    answer that a program would get.

    Raises:
        CommandError: The file cannot be read.
    """
    try:
        written = file.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", "name a JSON file with a start's fields") from None
    try:
        body = json.loads(written)
    except ValueError:
        return written
    return {**default, **cast(dict[str, Any], body), **options} if isinstance(body, dict) else written
