"""deploy/docker/pin writes digests behind tags, and again over older digests."""

import importlib.util
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    loader = SourceFileLoader("pin", str(ROOT / "deploy" / "docker" / "pin"))
    spec = importlib.util.spec_from_loader("pin", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_each_image_of_others_in_the_compose_file_is_pinned_and_can_be_pinned_again(pin: ModuleType) -> None:
    asked: list[str] = []

    def digest(image: str) -> str:
        asked.append(image)
        return DIGEST

    once = pin.pinned_compose((ROOT / "compose.yaml").read_text(), digest)
    images = re.findall(r"^    image: (\S+)$", once, re.MULTILINE)

    assert {"redis:7.4-alpine", "livekit/livekit-server:v1.13.5"} <= set(asked)
    assert all(image.startswith("greenroom-") != image.endswith(DIGEST) for image in images)
    assert pin.pinned_compose(once, lambda _: "sha256:" + "1" * 64).count("sha256:1") == len(asked)


def test_each_base_image_is_pinned_in_its_argument(pin: ModuleType) -> None:
    for name in pin.DOCKERFILES:
        text = (ROOT / name).read_text()
        asked: list[str] = []
        pinned = pin.pinned_dockerfile(text, lambda image, asked=asked: asked.append(image) or DIGEST)

        digests = re.findall(r"^ARG \w+_DIGEST=(.*)$", pinned, re.MULTILINE)
        assert digests
        assert set(digests) == {f"@{DIGEST}"}, name
        assert not [image for image in asked if "$" in image]
        assert pin.pinned_dockerfile(pinned, lambda _: DIGEST) == pinned


def test_the_base_image_of_the_parts_is_asked_for_by_its_whole_tag(pin: ModuleType) -> None:
    asked: list[str] = []
    pin.pinned_dockerfile((ROOT / "Dockerfile").read_text(), lambda image: asked.append(image) or DIGEST)

    assert "python:3.11-slim-bookworm" in asked
