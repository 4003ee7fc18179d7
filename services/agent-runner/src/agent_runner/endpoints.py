"""Where the providers are: addresses and keys, in order of preference."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's address and key; `is_groq`: a language model's server takes Groq's own parameters."""

    url: str
    key: str = field(repr=False)
    is_groq: bool = False

    @property
    def host(self) -> str:
        """The host, and the port that the address names."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def endpoints(
    url: str, key: SecretStr, fallback_url: str | None, fallback_key: SecretStr | None
) -> tuple[Endpoint, ...]:
    """The first endpoint, and the fallback if it differs; what a fallback leaves unset equals the first."""
    first = Endpoint(url, key.get_secret_value())
    second = Endpoint(fallback_url or url, (fallback_key or key).get_secret_value())
    return (first,) if second == first else (first, second)


def is_at_groq(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "groq.com" or host.endswith(".groq.com")


def is_at_openai(url: str) -> bool:
    """Whether it is OpenAI's own service or Azure's of it."""
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith((".api.openai.com", ".openai.azure.com"))
