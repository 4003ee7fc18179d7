"""What the commands read: the environment, .env in the current folder, and what a running stack published."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.state import StateFolder

DEFAULT_STATE = Path(".greenroom")


def keep_proxies_off_loopback() -> None:
    """Tell this process and its children that a proxy has nothing to do with the local stack."""
    for name in ("NO_PROXY", "no_proxy"):
        kept = [entry for entry in os.environ.get(name, "").split(",") if entry]
        os.environ[name] = ",".join(dict.fromkeys([*kept, "127.0.0.1", "localhost"]))


def user_environment(folder: Path | None = None) -> dict[str, str]:
    """The user's environment over the `.env` of `folder` (default: the current one); empty variables count as unset."""
    written = dotenv_values((folder or Path.cwd()) / ".env", interpolate=False)
    return {name: value for name, value in {**written, **os.environ}.items() if value}


def command_environment(state: Path) -> dict[str, str]:
    """The user's environment, under the addresses and keys of the stack that runs in the state folder, if one does."""
    run = StateFolder(state).running()
    return {**user_environment(), **(run.environment if run else {})}


class Settings(BaseSettings):
    """The variable is the field's name in capitals; addresses of the providers default to the real ones."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    greenroom_url: str = Field(default="http://127.0.0.1:8000", pattern=r"^https?://\S+$")
    greenroom_api_key: str | None = None
    greenroom_api_keys: str = ""

    nats_url: str = "nats://127.0.0.1:4222"
    redis_url: str = "redis://localhost:6379/0"
    database_url: str = "sqlite+aiosqlite:///billing.db"
    livekit_url: str | None = None
    livekit_api_key: str | None = None
    livekit_api_secret: str | None = None
    livekit_server_bin: str | None = None

    assembly_api_key: str | None = None
    assembly_base_url: str = "wss://streaming.assemblyai.com/v3/ws"
    stt_model: str = "universal-3-6-pro"
    groq_api_key: str | None = None
    groq_base_url: str = "https://api.groq.com/openai/v1"
    llm_model: str = "llama-3.3-70b-versatile"
    llm_fallback_model: str = "openai/gpt-oss-120b"
    inworld_api_key: str | None = None
    inworld_base_url: str = "wss://api.inworld.ai/tts/v1/voice:streamBidirectional"
    inworld_http_url: str = "https://api.inworld.ai"

    @property
    def assembly_host(self) -> str:
        """The scheme and host of ASSEMBLY_BASE_URL, which may be written with its path."""
        return self.assembly_base_url.rstrip("/").removesuffix("/v3/ws")

    @property
    def api_key(self) -> str | None:
        """GREENROOM_API_KEY, else the first of a local gateway's own GREENROOM_API_KEYS that is no hash."""
        known = [key.strip() for key in self.greenroom_api_keys.split(",")]
        return self.greenroom_api_key or next((key for key in known if key and not key.startswith("sha256:")), None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `of` is given the environment as `command_environment` has put it together; a second reading would undo that.
        return (init_settings,)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises CommandError, which names the variable, when one cannot be taken."""
        try:
            return cls(**{name.lower(): value for name, value in environment.items()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise CommandError(
                f"{str(first['loc'][0]).upper()} cannot be taken: {first['msg']}", "correct it"
            ) from None
