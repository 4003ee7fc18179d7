"""Hides secrets in all output of the process: by their form, and by the values of its variables."""

import re
import sys
import threading
import traceback
from types import TracebackType
from typing import Final
from urllib.parse import unquote, unquote_plus

HIDDEN: Final = "[redacted]"

_FORM: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # a URL's user and password
    r"|(?<=[?&]password=)[^\s&#]+"
    r"|(?<=[Bb]earer )[\w.~+/=-]+"
    r"|\b(?:sk|gsk|gr)[-_][\w-]{16,}"
)
_PARAMETERS: Final = re.compile(r"\?\w+=[^,\s]*")
_IDENTITY: Final = re.compile(r"(?<=://)(?:(?!,\w+://)\S)*@")  # to the last @: a raw password may contain @ or /
_SECRET_NAME: Final = re.compile(r"(secret|password|passwd|token|keys?)$", re.IGNORECASE)
_NO_SECRET: Final = {"LIVEKIT_API_KEY"}  # public: each token names it as issuer
_MIN_LENGTH: Final = 8  # shorter secrets are hidden by form or field name only

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def learn(variable: str, value: str) -> None:
    """Hide the secrets of a variable from now on: the whole value, the entries of a list, a URL's user and password."""
    global _pattern
    found: set[str] = set()
    if "://" in value:
        for identity in re.findall(r"://([^\s]*)@", value):
            found |= {identity, *identity.split(":", 1)[-1:], *re.split(r"[@,/?#]", identity)}
        found |= set(re.findall(r"[?&][^=&#]+=([^&#\s]+)", value))
    elif _SECRET_NAME.search(variable) and variable.upper() not in _NO_SECRET:
        found |= {value, *re.split(r"[,:\s\[\]]", value)}
    found |= {decoded for secret in found for decoded in (unquote(secret), unquote_plus(secret))}
    new = {secret for secret in found if len(secret) >= _MIN_LENGTH} - _known
    if new:
        _known.update(new)
        longest_first = sorted(_known, key=len, reverse=True)
        _pattern = re.compile("|".join(rf"(?<!\w){re.escape(secret)}(?!\w)" for secret in longest_first))


def hide(text: str) -> str:
    """The text without known secrets and without parts that look like one."""
    text = _FORM.sub(HIDDEN, text)
    return text if _pattern is None else _pattern.sub(HIDDEN, text)


def without_identity(text: str) -> str:
    """The text with users, passwords and parameters removed from its URLs."""
    return _IDENTITY.sub("", _PARAMETERS.sub("", text))


def say(line: str) -> None:
    """Write a line for the person at the terminal, in any log format."""
    print(hide(line), file=sys.stderr, flush=True)  # noqa: T201 - the one place that does


def guard_tracebacks() -> None:
    """Also hide secrets in the traceback of an uncaught exception, in any thread."""

    def write(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        if kind is not SystemExit:
            sys.stderr.write(hide("".join(traceback.format_exception(kind, error, where))))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        write(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = write
    threading.excepthook = in_thread
