"""`.env`, which the commands and Docker Compose both read, and the lines that they read differently."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from greenroom_cli.errors import CommandError

SINGLE_QUOTES = "put its value in single quotes"


@dataclass(frozen=True)
class Finding:
    """A line that is probably not read as its writer meant.

    Attributes:
        name: The variable, or the line's number if it has none; never a value.
    """

    name: str
    why: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name} in .env: {self.why}; {self.fix}"


def read(file: Path) -> dict[str, str | None]:
    """The variables of a file, with their raw values; empty without the file.

    Raises:
        CommandError: The file cannot be read.
    """
    return dict(dotenv_values(stream=io.StringIO(_text(file)), interpolate=False))


def differences(file: Path) -> list[Finding]:
    """The lines that Docker Compose reads differently from the commands."""
    return list(_differences(_text(file)))


def _differences(text: str) -> Iterator[Finding]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            yield Finding(f"line {binding.original.line}", "it is not NAME=value", "correct it, or remove it")
            continue
        if binding.key is None or binding.value is None:
            continue
        written = binding.original.string.partition("=")[2].strip()
        quote = written[:1] if written[:1] in ("'", '"') else ""
        if "$" in binding.value and quote != "'":
            yield Finding(binding.key, "Docker Compose takes $ for the start of a variable", SINGLE_QUOTES)
        elif "#" in binding.value and not quote:
            yield Finding(binding.key, "Docker Compose may take # for the start of a comment", SINGLE_QUOTES)
        elif quote == '"' and "\\" in written:
            yield Finding(binding.key, "Docker Compose knows other backslash escapes", SINGLE_QUOTES)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else ""
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8", "save it as UTF-8") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", "correct its permissions") from None
