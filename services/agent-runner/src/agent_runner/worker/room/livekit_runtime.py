"""LiveKit's native runtime, with cheaper callbacks than the SDK's own start gives it (docs/decisions/0007).

The SDK's start passes every debug line of WebRTC to Python, about a thousand a join, and each event arrives on a thread
unknown to Python, which then makes and unmaps a thread state: half of the CPU time of a join. After our start the
runtime writes its warnings to stderr, and each thread keeps its state.
"""

# pyright: standard

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


def load_library() -> None:
    """Map the library into this process, without starting the runtime."""
    ffi.get_ffi_lib()


def is_started() -> bool:
    return ffi.FfiClient._instance is not None


def start() -> None:
    """Start the runtime. Call it once, and never in a process that forks: a child cannot use its parent's runtime."""
    os.environ.setdefault("RUST_LOG", _LEVEL)
    library = ffi.get_ffi_lib()
    setattr(library, "livekit_ffi_initialize", _Initialize(library.livekit_ffi_initialize))  # noqa: B010 - the attribute has no type
    get_library, ffi.get_ffi_lib = ffi.get_ffi_lib, lambda: library
    try:
        ffi.FfiClient.instance  # noqa: B018 - the property makes the client, 5 ms
    finally:
        ffi.get_ffi_lib = get_library


class _Initialize:
    """The library's `livekit_ffi_initialize`, with our callback and without the capture of log lines."""

    def __init__(self, function: Any) -> None:
        self.argtypes: list[Any] = []
        self._function = function

    def __call__(self, _callback: Any, _capture_logs: bool, sdk: bytes, version: bytes) -> None:
        self._function.argtypes = self.argtypes
        self._function(_on_event, False, sdk, version)


@ffi.ffi_cb_fnc
def _on_event(data: Any, size: int) -> None:
    """Queue an event; runs on the runtime's threads."""
    if not hasattr(_threads, "is_kept"):
        _threads.is_kept = True
        ctypes.pythonapi.PyGILState_Ensure()  # without a release, so the thread state outlives this call
    event = FfiEvent()
    event.ParseFromString(ctypes.string_at(data, size))
    if event.WhichOneof("message") == "panic":
        sys.stderr.write(f"LiveKit's runtime panicked: {event.panic.message}\n")
        sys.stderr.flush()
        os._exit(_PANICKED)
    ffi.FfiClient.instance.queue.put(event)
