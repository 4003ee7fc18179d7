"""Settings: one frozen class per service, read once from the environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeVar

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from chassis import redaction
from chassis.access import NatsAccess
from chassis.errors import validation_text
from chassis.urls import ServerUrl

EXIT_BAD_SETTINGS = 2


class ServiceSettings(BaseSettings):
    """The settings of every service. The variable is the field's name in capitals; an empty value counts as unset."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        pattern=r"^(nats|tls|ws|wss)://[^\s]+$",
        description="nats://[user:password@]host:port, comma-separated, user and password percent-encoded",
    )
    nats_creds: FilePath | None = Field(default=None, description="a credentials file with a user's JWT and seed")
    nats_nkey_seed_file: FilePath | None = Field(default=None, description="a file with a user's nkey seed")
    nats_ca_file: FilePath | None = Field(
        default=None, description="the PEM file of the authority that signed NATS' certificate; the system's if unset"
    )
    nats_cert_file: FilePath | None = Field(default=None, description="the PEM file of our client certificate for NATS")
    nats_key_file: FilePath | None = Field(
        default=None, description="the PEM file of its key; unset if NATS_CERT_FILE contains the key"
    )
    nats_replicas: int = Field(
        default=1,
        ge=1,
        le=5,
        description="copies of each stream and bucket, the same for all services: 1, or 3 in a cluster",
    )
    log_format: Literal["json", "console"] = Field(default="json", description="json or console")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    health_host: str = Field(default="127.0.0.1", min_length=1, description="the address that /health listens on")
    health_port: int = Field(
        default=0, ge=0, le=65535, description="the port of /health, /ready and /metrics; 0 picks a free one"
    )
    otel_exporter_otlp_endpoint: ServerUrl | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="http(s)://host:4318 of an OTLP collector; unset exports no traces",
    )
    start_timeout_s: float = Field(default=15, gt=0, le=600, description="timeout of each start step in seconds")
    drain_timeout_s: float = Field(default=15, gt=0, le=3600, description="timeout of each stop step in seconds")

    @model_validator(mode="after")
    def _nats_can_be_reached(self) -> Self:
        try:
            _ = self.nats
        except ValueError as error:
            raise ValueError(f"NATS_URL: {error}") from None
        return self

    @property
    def nats(self) -> NatsAccess:
        """NATS_URL together with the credential and certificate files."""
        return NatsAccess.of(
            self.nats_url,
            creds=self.nats_creds,
            nkey_seed=self.nats_nkey_seed_file,
            ca=self.nats_ca_file,
            cert=self.nats_cert_file,
            key=self.nats_key_file,
        )


S = TypeVar("S", bound=BaseSettings)


def load(cls: type[S], env_file: Path | None = None) -> S:
    """Read the settings, or exit with 2 and one line that names the variable, the problem and the fix.

    Args:
        env_file: A file of NAME=value lines; the environment overrides it.
    """
    redaction.guard_tracebacks()
    _learn_secrets(cls, env_file)
    try:
        return cls() if env_file is None else cls(_env_file=env_file)  # pyright: ignore[reportCallIssue]
    except (ValidationError, SettingsError) as error:
        _end("; ".join(_lines(cls, error)))


def problems(cls: type[BaseSettings], environment: Mapping[str, str]) -> list[str]:
    """What `load` would refuse in this environment, a line for each variable; empty when the settings are valid.

    Not thread-safe: it replaces `os.environ` for a moment.
    """
    own = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    found: list[str] = []
    try:
        # The first value that is not JSON hides every other mistake, so look again without it.
        for _ in cls.model_fields:
            try:
                cls()
            except ValidationError as error:
                return found + _lines(cls, error)
            except SettingsError as error:
                found += _lines(cls, error)
                for name in [name for name in os.environ if name.upper() == _variable(cls, _not_json(error))]:
                    del os.environ[name]
            else:
                break
        return found
    finally:
        os.environ.clear()
        os.environ.update(own)


def variables(cls: type[BaseSettings]) -> frozenset[str]:
    """The names of the environment variables that the settings read, in capitals."""
    prefix = cls.model_config.get("env_prefix") or ""
    found: set[str] = set()
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            found.update(choice.upper() for choice in alias.choices if isinstance(choice, str))
        else:
            found.add(alias.upper() if isinstance(alias, str) else f"{prefix}{name}".upper())
    return frozenset(found)


def _lines(cls: type[BaseSettings], error: ValidationError | SettingsError) -> list[str]:
    if isinstance(error, ValidationError):
        return [_line(cls, dict(e)) for e in error.errors(include_url=False)]
    name = _not_json(error)
    return [f"{_variable(cls, name)}: not valid JSON. {_fix(cls, name)}"]


def _not_json(error: SettingsError) -> str:
    """The name of the field whose list or dict is not valid JSON."""
    found = re.search(r'field "(\w+)"', str(error))
    return found.group(1) if found else ""


def _line(cls: type[BaseSettings], error: dict[str, Any]) -> str:
    """Name the variable, never its value: any value may be a secret, if only by mistake."""
    problem = "is not set" if error["type"] == "missing" else validation_text(error)
    if not error["loc"]:  # two variables contradict each other; the text names both and the fix
        return f"{problem}."
    name = str(error["loc"][0])
    return f"{_variable(cls, name)}: {problem}. {_fix(cls, name)}"


def _variable(cls: type[BaseSettings], name: str) -> str:
    prefix = cls.model_config.get("env_prefix") or ""
    return f"{prefix}{name}".upper() if name in cls.model_fields else name.upper() or "settings"


def _fix(cls: type[BaseSettings], name: str) -> str:
    field = cls.model_fields.get(name) or next(
        (f for f in cls.model_fields.values() if f.validation_alias == name), None
    )
    wanted = f" to {field.description}" if field and field.description else ""
    unset = "" if field is None or field.is_required() else ", or unset it"
    return f"Set it{wanted}{unset}."


def _learn_secrets(cls: type[BaseSettings], env_file: Path | None) -> None:
    """Register every secret for redaction before an error text can contain one."""
    names = variables(cls)
    written = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    for name, value in [*written.items(), *os.environ.items()]:
        if name.upper() in names and value:
            redaction.learn(name, value)


def _end(line: str) -> NoReturn:
    redaction.say(f"bad settings: {line}")
    raise SystemExit(EXIT_BAD_SETTINGS)
