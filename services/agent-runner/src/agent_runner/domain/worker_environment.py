"""Which environment variables a worker has: those of the agent and of the system, and none of the node's addresses.

A worker parses strangers' media and the answers of tools. What it does not hold it cannot lose: NATS_URL, REDIS_URL,
LiveKit's secret, another service's keys.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_NAMES: Final = frozenset(
    {
        *("AGENT_ENV_FILE", "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "WS_PROXY", "WSS_PROXY", "REQUESTS_CA_BUNDLE"),
        *("CURL_CA_BUNDLE", "VIRTUAL_ENV", "GLIBC_TUNABLES", "NLTK_DATA"),
    }
)
# Of the language, the system's libraries, and the libraries that a pipeline is made of.
_PREFIXES: Final = (
    *("LC_", "LD_", "MALLOC_", "PYTHON", "SSL_", "XDG_"),
    *("OTEL_", "PIPECAT_", "RUST_", "ORT_", "OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "HF_", "WEBSOCKETS_"),
)


def is_a_workers(variable: str, parameters: Collection[str]) -> bool:
    """Whether a worker has this variable.

    Args:
        parameters: The agent's own variables, in capitals.
    """
    name = variable.upper()
    return name in parameters or name in _NAMES or name.startswith(_PREFIXES)
