"""A worker without a pipeline: it speaks `link` over its socket, and misbehaves as the job's system prompt says.

`run` is what the supervisor forks. The words: `deaf` (never ends), `stall` (stops beating), `crash` (dies in the call),
`removed` (is put out of the room), `fails` (its STT gives out), `alone` (the caller does not come), `imports` (it says
which of the supervisor's modules it has), `apology` (it says its configuration's), `flood` (it writes
its log until that is refused), `wordy` (its last sentence takes 4.5 s, unless it is cut).
"""

import errno
import json
import os
import select
import signal
import socket
import sys
import time

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import (
    BEAT_S,
    Beat,
    Caller,
    End,
    Failed,
    Go,
    Heard,
    Joined,
    Prejoin,
    Ready,
    Rejoin,
    Removed,
    Stopped,
    ToSupervisor,
    ToWorker,
    Turn,
    decode_to_worker,
    encode,
)
from contracts.causes import Cause


def run(sock: socket.socket, config: AgentConfig | None = None) -> None:
    """Live until told otherwise, or until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock.setblocking(True)
    _Worker(sock, config).run()


def broken(_sock: socket.socket, *_: object) -> None:
    """A worker whose configuration is wrong."""
    sys.exit(3)


class _Worker:
    def __init__(self, sock: socket.socket, config: AgentConfig | None) -> None:
        self.sock = sock
        self.config = config
        self.words: set[str] = set()
        self.caller = False

    def say(self, message: ToSupervisor) -> None:
        self.sock.send(encode(message))

    def hear(self, timeout_s: float) -> tuple[ToWorker | None, list[int]]:
        if not select.select([self.sock], [], [], timeout_s)[0]:
            return None, []
        packet, fds, _, _ = socket.recv_fds(self.sock, 200_000, 1)
        if not packet:
            os._exit(0)
        return decode_to_worker(packet), list(fds)

    def run(self) -> None:
        self.say(Ready(pid=os.getpid()))
        beat_at = time.monotonic()
        while True:
            message, fds = self.hear(max(0.0, beat_at - time.monotonic()))
            if message is not None:
                self.obey(message, fds)
            if time.monotonic() >= beat_at and "stall" not in self.words:
                beat_at += BEAT_S
                self.say(Beat(caller_in_room=self.caller))

    def obey(self, message: ToWorker, fds: list[int]) -> None:
        match message:
            case Go():
                self.go(message, fds)
            case Prejoin():
                if message.token != "nowhere":
                    self.say(Joined())
            case End() if "deaf" not in self.words:
                if message.how == "say":
                    self.hear(4.5 if "wordy" in self.words else 0.3)  # a second end cuts it
                self.say(Stopped(cause=Cause.ENDED, detail=message.text or ""))
                os._exit(0)
            case Rejoin():
                self.say(Joined(stage_ms={}))
                self.say(Turn(n=2, user_text="", heard_text="back", interrupted=False))
            case _:
                pass

    def go(self, go: Go, fds: list[int]) -> None:
        self.words = set(go.system_prompt.split())
        if go.log_file:
            with open(go.log_file, "a") as log:
                log.write(f"hello from {os.getpid()}\n")
            if "flood" in self.words:
                _flood(go.log_file)
        self.say(Joined(stage_ms={"connect": 5}))
        if "alone" not in self.words:
            self.caller = True
            self.say(Caller(in_room=True))
            self.say(Heard(stage_ms={"heard": 9}))
        heard = go.opening_line or go.bridge or ""
        if fds:
            with open(fds[0], "rb") as file:
                heard += f" after {len(json.loads(file.read()))} messages"
        if "apology" in self.words and self.config is not None:
            heard += f" {self.config.lines_in(go.language).apology}"
        if "imports" in self.words:
            heard += f" with {sorted({'faststream', 'redis', 'starlette', 'agent_runner.app'} & sys.modules.keys())}"
        self.say(Turn(n=1, user_text="", heard_text=heard, interrupted=False, stage_ms={"llm": 3}))
        if "fails" in self.words:
            self.say(Failed(provider="stt", detail="401"))
            self.say(Stopped(cause=Cause.PROVIDER_FAILED, detail="spent"))
            os._exit(0)
        if "crash" in self.words:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        if "removed" in self.words:
            self.say(Removed(duplicate=True, reason="DUPLICATE_IDENTITY"))


def _flood(file: str) -> None:
    with open(file, "ab", buffering=0) as log:
        try:
            while log.write(b"x" * 65_536):
                pass
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
