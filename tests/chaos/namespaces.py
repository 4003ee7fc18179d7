"""A separate network for one process, where the machine allows it: a test can cut its link."""

import os
import shutil
import subprocess
from functools import cache
from typing import Self
from uuid import uuid4

COMMAND_S = 10.0


class Namespace:
    """A network namespace with one link to ours.

    Attributes:
        host: The address at which a process in it reaches us.
    """

    def __init__(self, number: int) -> None:
        """Prepare.

        Args:
            number: 0 to 63, unique among the namespaces of this machine's runs: it chooses the addresses.
        """
        tag = uuid4().hex[:8]
        self._name, self._link, self._far = f"greenroom-{tag}", f"gr{tag}h", f"gr{tag}n"
        self._inside = f"10.231.{os.getpid() % 250}.{4 * number + 2}"
        self.host = f"10.231.{os.getpid() % 250}.{4 * number + 1}"

    @property
    def prefix(self) -> list[str]:
        """The words before a command that shall run in it."""
        return ["ip", "netns", "exec", self._name]

    def __enter__(self) -> Self:
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._link, "type", "veth", "peer", "name", self._far, "netns", self._name)
            _ip("addr", "add", f"{self.host}/30", "dev", self._link)
            _ip("-n", self._name, "addr", "add", f"{self._inside}/30", "dev", self._far)
            for words in ((self._link, "up"), ("lo", "up", self._name), (self._far, "up", self._name)):
                self._set(*words)
        except BaseException:
            _ip("netns", "del", self._name)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _ip("netns", "del", self._name)  # the link goes with it

    def cut(self) -> None:
        """Drop every packet without telling either side."""
        self._set(self._far, "down", self._name)

    def mend(self) -> None:
        self._set(self._far, "up", self._name)

    @staticmethod
    def _set(link: str, state: str, namespace: str | None = None) -> None:
        _ip(*(("-n", namespace) if namespace else ()), "link", "set", link, state)


@cache
def allowed() -> bool:
    """Whether this machine lets us make namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with Namespace(63):
            return True
    except subprocess.SubprocessError:
        return False


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=COMMAND_S)
