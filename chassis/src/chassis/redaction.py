"""No secret in what a process writes: hidden by its form, and by what the process's own variables hold."""

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
_IDENTITY: Final = re.compile(r"(?<=://)(?:(?!,\w+://)\S)*@")  # up to the last @: a raw password may hold one, or a /
_SECRET_NAME: Final = re.compile(r"(secret|password|passwd|token|keys?)$", re.IGNORECASE)
_NO_SECRET: Final = {"LIVEKIT_API_KEY"}  # the issuer in each token, which every caller can read
_MIN_LENGTH: Final = 8  # a shorter one is hidden where its form or its field's name tells it, not wherever it stands

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def learn(variable: str, value: str) -> None:
    """Hide what is secret in a variable from now on: the whole, the entries of a list, a URL's user and password."""
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
    """The text without what looks like a secret, or is one that this process knows."""
    text = _FORM.sub(HIDDEN, text)
    return text if _pattern is None else _pattern.sub(HIDDEN, text)


def without_identity(text: str) -> str:
    """Addresses in a text without users, passwords and parameters, as a person may see them."""
    return _IDENTITY.sub("", _PARAMETERS.sub("", text))


def say(line: str) -> None:
    """Write a line for the person at the terminal, whatever the logs' format is."""
    print(hide(line), file=sys.stderr, flush=True)  # noqa: T201 - the one place that does


def guard_tracebacks() -> None:
    """Hide secrets in the traceback of an exception that ends the process or a thread, too."""

    def write(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        if kind is not SystemExit:
            sys.stderr.write(hide("".join(traceback.format_exception(kind, error, where))))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        write(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = write
    threading.excepthook = in_thread
