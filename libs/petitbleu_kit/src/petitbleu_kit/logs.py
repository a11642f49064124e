"""Structured logs: JSON lines on standard error, opaque ids only.

An address, a subject, a name, a body or a file name never goes in a log; client addresses go only in the security log.
An exception is logged by its type and the places it passed, without its text, which may quote what must not be logged.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import Any, BinaryIO

import msgspec
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

_encode = msgspec.json.Encoder(enc_hook=str).encode


def _exception_without_text(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the exception's type and its frames as `module:line:function`."""
    info = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else sys.exc_info()[1]
        if error is not None:
            event["error_type"] = type(error).__qualname__
            event["error_at"] = [
                f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)[-8:]
            ]
    return event


def _trace_id(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add the trace id of the current span, when one is recorded."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _render(_logger: WrappedLogger, _name: str, event: EventDict) -> bytes:
    return _encode(event)


class LogStream:
    """Where log lines go; one that cannot be written is lost, or comes late, and nobody is told.

    A full disk or a reader that has gone must not end what a line only tells of: most lines are written where something else
    has just failed, and an error there would end the loop that was about to try again.

    Args:
        out: Where to; None is standard error.
    """

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = sys.stderr.buffer if out is None else out

    def write(self, line: bytes | bytearray) -> None:
        """Write a line."""
        with contextlib.suppress(OSError):
            self._out.write(line)

    def flush(self) -> None:
        """Let go of what is buffered; what cannot be written now is tried again with the next line."""
        with contextlib.suppress(OSError):
            self._out.flush()


class _LibraryHandler(logging.Handler):
    """Lets records of libraries through by logger name and level only: their text may quote anything."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "where": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error_type"] = type(record.exc_info[1]).__qualname__
        structlog.get_logger("library").log(record.levelno, "library message", **fields)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Set the process's logging up once, at start."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _trace_id,
            _exception_without_text,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(LogStream()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module."""
    return structlog.get_logger(module=name)  # type: ignore[no-any-return]


def security_logger() -> FilteringBoundLogger:
    """Return the logger of the security log: the only one that may name client addresses."""
    return structlog.get_logger(log="security")  # type: ignore[no-any-return]
