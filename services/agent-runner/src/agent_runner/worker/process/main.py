"""The life of a worker process, from the fork to `_exit`."""

import asyncio
import gc
import os
import random
import resource
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import parent_process, resource_tracker
from typing import Final, NoReturn

import numpy as np

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import BEAT_S, Go, Ready, ToWorker
from agent_runner.link.worker_end import History, LinkSocket
from agent_runner.worker.call.job import Job
from agent_runner.worker.process import log_lines, tracing
from agent_runner.worker.room import livekit_runtime
from chassis import logs
from chassis.settings import load
from chassis.tasks import Tasks
from contracts.deadlines import ORPHAN_EXIT_S

EXIT_FAILED: Final = 1

_LAST_WORD_S: Final = 0.3
_MEBIBYTE: Final = 1 << 20
# A worker runs no programs. LiveKit's SDK would run `lsb_release` at every connect, to name the system to the server.
_NOWHERE: Final = "/nonexistent"

log = logs.get_logger(__name__)


def run(sock: socket.socket, config: AgentConfig | None = None) -> NoReturn:
    """Run one job and exit. Never returns: LiveKit leaves 40 threads behind, which only `_exit` ends.

    Args:
        sock: The worker's end of the link.
        config: None: read it from the environment.
    """
    status = EXIT_FAILED
    try:
        config = config or load(AgentConfig)
        log_lines.configure(config)
        _settle_in(sock, config)
        loop = asyncio.new_event_loop()  # asyncio.run would wait for Pipecat's tasks at the end
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_serve(sock, config))
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else EXIT_FAILED
    except BaseException:
        log.exception("worker.failed")
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


def _settle_in(sock: socket.socket, config: AgentConfig) -> None:
    """Turn the forked copy into an independent process: signals, descriptors, limits, random seeds."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches workers too; the supervisor ends calls
        signal.signal(number, signal.SIG_IGN)
    _close_strangers(sock)
    _watch_supervisor()
    if config.worker_memory_mb:
        limit = config.worker_memory_mb * _MEBIBYTE
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.environ["PATH"] = _NOWHERE
    random.seed()
    np.random.seed()  # else all children of one forkserver would draw the same numbers
    gc.enable()


def _close_strangers(sock: socket.socket) -> None:
    """Close inherited descriptors: while we hold a sibling's socket, its supervisor sees no end-of-file."""
    supervisor = parent_process()
    keep = {0, 1, 2, sock.fileno(), getattr(resource_tracker, "_resource_tracker")._fd}  # noqa: B009 - private to typeshed
    if supervisor is not None:
        keep.add(supervisor.sentinel)
    for name in os.listdir("/proc/self/fd"):
        if (fd := int(name)) not in keep:
            with suppress(OSError):
                os.close(fd)


def _watch_supervisor() -> None:
    """Exit with the supervisor even if the event loop hangs: a thread waits for its death, then for `ORPHAN_EXIT_S`."""
    supervisor = parent_process()
    if supervisor is None:
        return

    def wait() -> None:
        select.select([supervisor.sentinel], [], [])
        time.sleep(ORPHAN_EXIT_S)
        os._exit(EXIT_FAILED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


async def _serve(sock: socket.socket, config: AgentConfig) -> None:
    livekit_runtime.start()
    is_traced = config.otel_exporter_otlp_endpoint is not None
    loop = asyncio.get_running_loop()

    def on_message(message: ToWorker, history: History) -> None:
        if isinstance(message, Go):
            log_lines.take(message)
            tracing.begin(job.trace_observer, config, message)
        job.receive(message, history)

    def on_closed() -> None:
        loop.call_later(ORPHAN_EXIT_S, os._exit, EXIT_FAILED)
        job.supervisor_gone()

    link = LinkSocket(sock, on_message, on_closed)
    job = Job(config, link.send, is_traced=is_traced)
    await job.prepare()
    link.send(Ready(pid=os.getpid()))
    beats = Tasks().spawn(_beat(job, link))
    stopped = await job.stopped
    beats.cancel()
    link.send(stopped)
    await link.drain(_LAST_WORD_S)
    log.info("worker.stopped", cause=stopped.cause, detail=stopped.detail, **log_lines.job_ids())
    if is_traced:
        tracing.end(job.trace_observer)


async def _beat(job: Job, link: LinkSocket) -> None:
    while True:
        _die_without_memory()
        link.send(job.beat())
        await asyncio.sleep(BEAT_S)


def _die_without_memory() -> None:
    """Exit at the memory limit, so that the supervisor replaces the worker.

    Without this each part logs its MemoryError, and the agent stays deaf and mute. The probe costs one system call: its
    pages are never touched.
    """
    try:
        bytes(_MEBIBYTE)  # a bytearray would be written to
    except MemoryError:
        os._exit(EXIT_FAILED)
