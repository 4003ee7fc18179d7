"""Writes .env from .env.example with a secret of its own for each `change-me`; an .env that is there stays as it is."""

import re
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"^(?!#)(\w+)=change-me[\w-]*$", re.MULTILINE)


def filled(example: str) -> str:
    """The example's text with 192 random bits for each placeholder that is not commented out."""
    return PLACEHOLDER.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", example)


def main() -> None:
    env = ROOT / ".env"
    if env.exists():
        return
    env.touch(mode=0o600)
    env.write_text(filled((ROOT / ".env.example").read_text()))
    print("wrote .env with new secrets")


if __name__ == "__main__":
    main()
