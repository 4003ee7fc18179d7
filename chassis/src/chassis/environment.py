"""The environment variables that a child process inherits: those of its settings and those of the system.

Least privilege: a process cannot leak the address, key or password of another service.
"""

from collections.abc import Collection
from typing import Final

_NAMES: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "WS_PROXY", "WSS_PROXY", "REQUESTS_CA_BUNDLE"),
        *("CURL_CA_BUNDLE", "VIRTUAL_ENV", "GLIBC_TUNABLES", "NLTK_DATA"),
    }
)
# For Python, the system's libraries, and the libraries of the pipeline.
_PREFIXES: Final = (
    *("LC_", "LD_", "MALLOC_", "PYTHON", "SSL_", "XDG_"),
    *("OTEL_", "PIPECAT_", "RUST_", "ORT_", "OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "HF_", "WEBSOCKETS_"),
)


def is_given(variable: str, own: Collection[str] = ()) -> bool:
    """Whether a child process inherits this variable.

    Args:
        own: The variables that its settings read, in capitals.
    """
    name = variable.upper()
    return name in own or name in _NAMES or name.startswith(_PREFIXES)
