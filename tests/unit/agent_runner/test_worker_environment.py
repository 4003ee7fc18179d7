"""Which variables a worker has."""

import pytest
from agent_runner.agent_config import AgentConfig
from agent_runner.domain.worker_environment import is_a_workers
from chassis.settings import variables

PARAMETERS = variables(AgentConfig)


@pytest.mark.parametrize(
    "name",
    [
        *("NATS_URL", "REDIS_URL", "DATABASE_URL", "LIVEKIT_API_SECRET", "LIVEKIT_API_KEY", "GREENROOM_API_KEYS"),
        *("NATS_CREDS", "NATS_KEY_FILE", "POSTGRES_PASSWORD", "NATS_OPERATOR_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_worker_has_no_address_and_no_secret_of_another(name: str) -> None:
    assert not is_a_workers(name, PARAMETERS)


@pytest.mark.parametrize(
    "name",
    [
        *("GROQ_API_KEY", "LLM_MODEL", "groq_api_key", "AGENT_ENV_FILE", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "TZ", "LANG", "LC_ALL", "PATH", "PYTHONPATH"),
    ],
)
def test_a_worker_has_the_agents_variables_and_the_systems(name: str) -> None:
    assert is_a_workers(name, PARAMETERS)
