"""Writes .env from .env.example with a different secret for each `change-me`.

An existing .env keeps its lines; missing secrets, which a later version needs, are added.
"""

import re
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SET = re.compile(r"^(?:export +)?(\w+)=", re.MULTILINE)
PLACEHOLDER = re.compile(r"^(?!#)(\w+)=change-me[\w-]*$", re.MULTILINE)


def filled(example: str) -> str:
    """The example with 192 random bits for each placeholder that is not commented out."""
    return PLACEHOLDER.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", example)


def lacking(env: str, example: str) -> str:
    """Lines with new secrets for the example's placeholders that an existing .env does not set."""
    there = set(SET.findall(env))
    return "".join(
        f"{line}\n" for line in filled(example).splitlines() if line.partition("=")[0] in _asked(example) - there
    )


def _asked(example: str) -> set[str]:
    return {found[1] for found in PLACEHOLDER.finditer(example)}


def main() -> None:
    env, example = ROOT / ".env", (ROOT / ".env.example").read_text()
    if not env.exists():
        env.touch(mode=0o600)
        env.write_text(filled(example))
        print("wrote .env with new secrets")
        return
    text = env.read_text()
    added = lacking(text, example)
    if added:
        env.write_text(f"{text.rstrip()}\n\n# Further secrets of this version.\n{added}")
        print("added to .env:", ", ".join(SET.findall(added)))


if __name__ == "__main__":
    main()
