"""LiveKit's native runtime, started as a worker needs it.

As the SDK starts it, the runtime hands every debug line of WebRTC to Python, some thousand at a join, and each event
comes on a thread that Python does not know, so that it makes the thread's state and unmaps it again: half of the
processor time of a join. Here warnings go to stderr by themselves, and each thread's state is kept.
"""

# pyright: standard

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any, Final

from livekit.rtc import _ffi_client as ffi
from livekit.rtc._proto.ffi_pb2 import FfiEvent

_LEVEL: Final = "warn"
_PANICKED: Final = 1

_threads = threading.local()


def start() -> None:
    """Start the runtime of this process; once, and never in a process that forks."""
    os.environ.setdefault("RUST_LOG", _LEVEL)
    library = ffi.get_ffi_lib()
    setattr(library, "livekit_ffi_initialize", _Initialize(library.livekit_ffi_initialize))  # noqa: B010 - of no type
    get_library, ffi.get_ffi_lib = ffi.get_ffi_lib, lambda: library
    try:
        ffi.FfiClient.instance  # noqa: B018 - makes it, 5 ms
    finally:
        ffi.get_ffi_lib = get_library


class _Initialize:
    """The library's `livekit_ffi_initialize`, with a callback and a way of logging that are ours."""

    def __init__(self, function: Any) -> None:
        self.argtypes: list[Any] = []
        self._function = function

    def __call__(self, _callback: Any, _capture_logs: bool, sdk: bytes, version: bytes) -> None:
        self._function.argtypes = self.argtypes
        self._function(_on_event, False, sdk, version)


@ffi.ffi_cb_fnc
def _on_event(data: Any, size: int) -> None:
    """Called by the runtime's threads."""
    if not hasattr(_threads, "is_kept"):
        _threads.is_kept = True
        ctypes.pythonapi.PyGILState_Ensure()  # one more than is released, so the state outlives this call
    event = FfiEvent()
    event.ParseFromString(ctypes.string_at(data, size))
    if event.WhichOneof("message") == "panic":
        sys.stderr.write(f"LiveKit's runtime panicked: {event.panic.message}\n")
        sys.stderr.flush()
        os._exit(_PANICKED)
    ffi.FfiClient.instance.queue.put(event)
