"""Settings of the commands: the environment, .env in the current folder, and the values of a running stack."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.errors import validation_text
from gateway.domain.access import presentable_key
from greenroom_cli import env_file, network
from greenroom_cli.errors import CommandError
from greenroom_cli.stack.providers import SANDBOX_KEY
from greenroom_cli.stack.state import StateFolder

DEFAULT_STATE = Path(".greenroom")


def user_environment(folder: Path | None = None) -> dict[str, str]:
    """The user's environment over the `.env` of `folder` (default: the current one); empty variables count as unset."""
    written = env_file.read((folder or Path.cwd()) / ".env")
    return {name: value for name, value in {**written, **os.environ}.items() if value}


def command_environment(state: Path) -> dict[str, str]:
    """The user's environment, overridden by the addresses and keys of the stack that runs in the state folder."""
    run = StateFolder(state).running()
    return {**user_environment(), **(run.environment if run else {})}


def _url(*schemes: str) -> AfterValidator:
    """A URL with one of the schemes, a host and a valid port."""

    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
            if parts.scheme in schemes and parts.hostname and parts.port != 0 and url.isprintable() and " " not in url:
                return url
        except ValueError:  # unbalanced brackets, or a port above 65535
            pass
        raise ValueError(f"it is not a URL such as {schemes[0]}://host:port")

    return AfterValidator(check)


def _key(key: str) -> str:
    """A key that fits into an HTTP header."""
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("it contains a space, a line break or a character outside ASCII")
    return key


_BARE: Final = re.compile(r"(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d+)?(/[!-~]*)?")  # host[:port][/path]


def _with_scheme(url: object) -> object:
    """Read `localhost:8000` as `http://localhost:8000`; for another host the scheme says whether keys are encrypted."""
    if not isinstance(url, str) or not _BARE.fullmatch(url):
        return url
    if network.is_loopback(f"http://{url}"):
        return f"http://{url}"
    # Without the address, which may hold a secret.
    raise ValueError("it has no scheme: put https:// before it, or http:// in a private network")


_Http = Annotated[str, _url("http", "https")]
_Socket = Annotated[str, _url("ws", "wss")]
_Either = Annotated[str, _url("ws", "wss", "http", "https")]
_Key = Annotated[str, AfterValidator(_key)]


class Settings(BaseSettings):
    """The addresses of the providers default to the real ones."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    greenroom_url: Annotated[_Http, BeforeValidator(_with_scheme)] = "http://127.0.0.1:8000"
    greenroom_api_key: _Key | None = None
    greenroom_api_keys: str = ""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_creds: Path | None = None
    nats_nkey_seed_file: Path | None = None
    nats_ca_file: Path | None = None
    nats_cert_file: Path | None = None
    nats_key_file: Path | None = None
    redis_url: str = "redis://localhost:6379/0"
    database_url: str = "sqlite+aiosqlite:///billing.db"
    livekit_url: _Either | None = None
    livekit_api_key: _Key | None = None
    livekit_api_secret: str | None = None
    livekit_server_bin: str | None = None

    assembly_api_key: _Key | None = None
    assembly_base_url: _Socket = "wss://streaming.assemblyai.com/v3/ws"
    stt_model: str = "universal-3-6-pro"
    groq_api_key: _Key | None = None
    groq_base_url: _Http = "https://api.groq.com/openai/v1"
    llm_base_url: _Http | None = None
    llm_model: str | None = None
    llm_fallback_model: str | None = None
    llm_models: str = "llama-3.3-70b-versatile,openai/gpt-oss-120b,openai/gpt-oss-20b"
    inworld_api_key: _Key | None = None
    inworld_base_url: _Socket = "wss://api.inworld.ai/tts/v1/voice:streamBidirectional"
    inworld_http_url: _Http = "https://api.inworld.ai"

    @property
    def assembly_host(self) -> str:
        """The scheme and host of ASSEMBLY_BASE_URL, which may include a path."""
        return self.assembly_base_url.rstrip("/").removesuffix("/v3/ws")

    @property
    def sandbox_hears(self) -> bool:
        """Whether the sandbox's recogniser, which knows few sentences, replaces AssemblyAI's."""
        return self.assembly_api_key == SANDBOX_KEY

    @property
    def models(self) -> tuple[str, ...]:
        """The language models that agents ask, in order of preference."""
        listed = [name.strip() for name in self.llm_models.split(",")]
        if self.llm_fallback_model:
            listed = [] if self.llm_model else listed[:1]
        return tuple(dict.fromkeys(name for name in (self.llm_model, *listed, self.llm_fallback_model) if name))

    @property
    def api_key(self) -> str | None:
        """GREENROOM_API_KEY, otherwise the key with the most scopes in a local gateway's GREENROOM_API_KEYS."""
        return self.greenroom_api_key or presentable_key([key.strip() for key in self.greenroom_api_keys.split(",")])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `of` gets the environment from `command_environment`; a second reading would undo its overrides.
        return (init_settings,)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises `CommandError`, which names the variable, never its value."""
        try:
            return cls.model_validate({name.lower(): value for name, value in environment.items()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0]).upper()
            raise CommandError(f"{name} is invalid: {validation_text(first)}", "correct it") from None
