"""Files that contain keys."""

import os
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Write a file that only this user may read; readers see the old or the new content, never a part."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    draft.replace(path)
