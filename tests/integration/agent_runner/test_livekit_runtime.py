"""LiveKit's native runtime as a worker starts it, each time in a new process."""

import asyncio
import sys
import textwrap

PATIENCE_S = 20.0


async def run(program: str) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr of a Python program."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_join_that_fails_is_reported_and_its_warnings_are_on_stderr() -> None:
    code, out, err = await run("""
        import asyncio, os
        from agent_runner.worker.room import livekit_runtime
        from livekit import rtc

        async def join():
            livekit_runtime.start()
            try:
                await rtc.Room().connect("ws://127.0.0.1:9", "token", rtc.RoomOptions(connect_timeout=1))
            except rtc.ConnectError as error:
                print("told:", error, flush=True)
            os._exit(0)

        asyncio.run(join())
    """)
    assert code == 0, err
    assert out.startswith("told:")
    assert "WARN  livekit" in err
    assert "DEBUG" not in err


async def test_a_panic_of_the_runtime_ends_the_process_with_its_words() -> None:
    code, _, err = await run("""
        import ctypes
        from agent_runner.worker.room import livekit_runtime
        from livekit.rtc._proto.ffi_pb2 import FfiEvent, Panic

        livekit_runtime.start()
        event = FfiEvent(panic=Panic(message="the codec is on fire")).SerializeToString()
        buffer = (ctypes.c_uint8 * len(event)).from_buffer_copy(event)
        livekit_runtime._on_event(buffer, len(event))
    """)
    assert code == 1
    assert "the codec is on fire" in err
