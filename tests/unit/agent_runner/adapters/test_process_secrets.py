"""Which variables a worker has."""

import pytest

from agent_runner.adapters.process_secrets import WORKERS_VARIABLES
from chassis.environment import is_given


@pytest.mark.parametrize(
    "name",
    [
        *("NATS_URL", "REDIS_URL", "DATABASE_URL", "LIVEKIT_API_SECRET", "LIVEKIT_API_KEY", "GREENROOM_API_KEYS"),
        *("NATS_CREDS", "NATS_KEY_FILE", "POSTGRES_PASSWORD", "NATS_OPERATOR_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_worker_has_no_address_and_no_secret_of_another(name: str) -> None:
    assert not is_given(name, WORKERS_VARIABLES)


@pytest.mark.parametrize(
    "name",
    [
        *("GROQ_API_KEY", "LLM_MODEL", "groq_api_key", "AGENT_ENV_FILE", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "TZ", "LANG", "LC_ALL", "PATH", "PYTHONPATH"),
    ],
)
def test_a_worker_has_the_agents_variables_and_the_systems(name: str) -> None:
    assert is_given(name, WORKERS_VARIABLES)
