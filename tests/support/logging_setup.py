"""The logging of a process, for tests that configure it."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import structlog

from chassis import logs


@contextmanager
def restored() -> Generator[None]:
    """Restore this process's logging on exit, and leave structlog without a configuration, as at process start."""
    loggers = [logging.getLogger(name) for name in ("", "uvicorn.access", "httpx", "httpcore", "nats")]
    levels = [logger.level for logger in loggers]
    handlers = loggers[0].handlers[:]
    try:
        yield
    finally:
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()


@contextmanager
def configured(service: str) -> Generator[None]:
    """Log as this service does, meanwhile."""
    with restored():
        logs.configure(service)
        structlog.configure(cache_logger_on_first_use=False)  # the loggers of modules would keep this configuration
        yield
