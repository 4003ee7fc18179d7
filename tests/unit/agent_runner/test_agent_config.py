"""The agent's configuration."""

import pickle
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.stt import SpeechToText
from chassis.settings import load
from sandbox.groq.request import completion

KEYS = {"ASSEMBLY_API_KEY": "a-secret", "GROQ_API_KEY": "g-secret", "INWORLD_API_KEY": "i-secret"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AgentConfig.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def test_the_defaults_are_the_documented_ones() -> None:
    config = AgentConfig()  # pyright: ignore[reportCallIssue]
    assert config.models == ("llama-3.3-70b-versatile", "openai/gpt-oss-120b", "openai/gpt-oss-20b")
    assert (config.stt_sample_rate, config.stt_encoding, config.stt_model) == (16000, "pcm_s16le", "universal-3-6-pro")
    assert (config.llm_max_tokens, config.llm_temperature, config.llm_top_p) == (200, 0.7, 0.9)
    assert (config.tts_temperature, config.aggregation_timeout, config.vad_stop_secs) == (1.1, 0.2, 0.2)


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("STT_MODEL", "u3-rt-pro", "stt_model", "u3-rt-pro"),
        ("STT_VAD_THRESHOLD", "0.4", "stt_vad_threshold", 0.4),
        ("STT_KEYTERMS_PROMPT", '["Greenroom"]', "stt_keyterms_prompt", ("Greenroom",)),
        ("LLM_MODEL", "groq/compound", "llm_model", "groq/compound"),
        ("LLM_TEMPERATURE", "0.2", "llm_temperature", 0.2),
        ("TTS_MODEL", "inworld-tts-2", "tts_model", "inworld-tts-2"),
        ("TTS_TEMPERATURE", "0", "tts_temperature", 0.0),
        ("VOICE_SPEEDS", '{"Craig": 0.9}', "voice_speeds", {"Craig": 0.9}),
        ("BACKCHANNELS", '{"pt-br": ["hm"], "en": []}', "backchannels", {"pt-BR": ("hm",), "en": ()}),
        ("AGGREGATION_TIMEOUT", "0.5", "aggregation_timeout", 0.5),
        ("SMART_TURN_STOP_SECS", "1.5", "smart_turn_stop_secs", 1.5),
        ("GROQ_BASE_URL", "http://127.0.0.1:1/openai/v1", "groq_base_url", "http://127.0.0.1:1/openai/v1"),
    ],
)
def test_a_variable_overrides_its_parameter(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(load(AgentConfig), field) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STT_SAMPLE_RATE", "44100"),
        ("STT_ENCODING", "opus"),
        ("STT_VAD_THRESHOLD", "2"),
        ("LLM_TEMPERATURE", "hot"),
        ("LLM_STREAMING", "false"),
        ("TTS_SAMPLE_RATE", "1"),
        ("VOICE_SPEEDS", '{"Craig": 9}'),
        ("VOICE_SPEEDS", "fast"),
        ("BACKCHANNELS", '{"klingon": ["hm"]}'),
        ("BACKCHANNELS", '{"en": ["uh-huh", "..."]}'),
        ("ASSEMBLY_BASE_URL", "https://example.org"),
        ("STT_VOICE_FOCUS", "telescope"),
        ("INWORLD_API_KEY", ""),
    ],
)
def test_a_bad_value_is_named_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        load(AgentConfig)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert variable in line
    assert "Set it to" in line
    assert "secret" not in line


def test_a_line_of_which_nothing_can_be_spoken_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPOKEN_LINES", '{"en": {"sorry": "[happy]"}}')
    with pytest.raises(SystemExit):
        load(AgentConfig)
    assert "SPOKEN_LINES: nothing of the line sorry of en can be spoken" in capsys.readouterr().err


def test_keys_do_not_show() -> None:
    config = load(AgentConfig)
    assert "secret" not in repr(config)
    assert "secret" not in config.model_dump_json()


def test_it_travels_to_a_worker_and_cannot_be_changed() -> None:
    config = load(AgentConfig)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ValidationError):
        config.llm_model = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("voice", "speed"), [("Craig", 1.2), ("Wendy", 1.2), ("Ashley", 1.0), ("Somebody", 1.0)])
def test_a_voice_speaks_at_its_own_speed_and_an_unknown_one_at_1(voice: str, speed: float) -> None:
    assert load(AgentConfig).speed_of(voice) == speed


GROQ, ELSEWHERE = True, False


@pytest.mark.parametrize(
    ("wanted", "model", "is_groq", "sent", "limit"),
    [
        (None, "openai/gpt-oss-120b", GROQ, "low", 800),
        (None, "qwen/qwen3-32b", GROQ, "none", 200),
        (None, "llama-3.3-70b-versatile", GROQ, None, 200),
        ("low", "llama-3.3-70b-versatile", GROQ, None, 200),
        ("high", "openai/gpt-oss-120b", GROQ, "high", 800),
        ("none", "openai/gpt-oss-120b", GROQ, "low", 800),
        ("none", "qwen/qwen3-32b", GROQ, "none", 200),
        ("low", "qwen/qwen3-32b", GROQ, "default", 800),
        (None, "qwen/qwen3-32b", ELSEWHERE, None, 800),
        (None, "Qwen/Qwen3-8B", ELSEWHERE, None, 800),
        ("none", "Qwen/Qwen3-8B", ELSEWHERE, "none", 200),
        ("none", "openai/gpt-oss-20b", ELSEWHERE, "low", 800),
        ("high", "o3-mini", ELSEWHERE, "high", 800),
        (None, "gpt-5-mini", ELSEWHERE, None, 800),
    ],
)
def test_a_model_gets_an_effort_that_it_accepts_and_tokens_for_its_thoughts(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, model: str, is_groq: bool, sent: str | None, limit: int
) -> None:
    if wanted is not None:
        monkeypatch.setenv("LLM_REASONING_EFFORT", wanted)
    config = load(AgentConfig)
    assert config.reasoning_effort_of(model, is_groq=is_groq) == sent
    assert config.token_limit_of(model, is_groq=is_groq) == limit
    if is_groq and sent is not None:
        hello = {"role": "user", "content": "Hello?"}
        assert completion({"model": model, "messages": [hello], "reasoning_effort": sent})


def test_a_second_key_or_place_is_a_second_endpoint_and_takes_the_rest_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(load(AgentConfig).tts_endpoints) == 1
    monkeypatch.setenv("GROQ_FALLBACK_API_KEY", "g-second")
    monkeypatch.setenv("ASSEMBLY_FALLBACK_BASE_URL", "wss://elsewhere/v3/ws")
    config = load(AgentConfig)
    assert [(e.url, e.key) for e in config.llm_endpoints] == [
        (config.groq_base_url, "g-secret"),
        (config.groq_base_url, "g-second"),
    ]
    assert [(e.url, e.key) for e in config.stt_endpoints][1] == ("wss://elsewhere/v3/ws", "a-secret")
    assert "g-second" not in repr(config.llm_endpoints)


def test_a_threshold_of_the_voice_focus_needs_a_focus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STT_VOICE_FOCUS_THRESHOLD", "0.5")
    with pytest.raises(SystemExit):
        load(AgentConfig)
    assert "set STT_VOICE_FOCUS, too" in capsys.readouterr().err
    monkeypatch.setenv("STT_VOICE_FOCUS", "far-field")
    assert load(AgentConfig).stt_voice_focus_threshold == 0.5


@pytest.mark.parametrize(
    ("model", "silence", "sent"),
    [
        ("universal-3-6-pro", None, "100"),
        ("universal-3-6-pro", "300", "300"),
        ("universal-streaming-english", None, "160"),
        ("universal-streaming-english", "300", "300"),
    ],
)
def test_the_silence_that_ends_a_turn_is_sent_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch, model: str, silence: str | None, sent: str
) -> None:
    monkeypatch.setenv("STT_MODEL", model)
    monkeypatch.setenv("STT_MIN_TURN_SILENCE", silence or "")
    query = parse_qs(urlsplit(SpeechToText.of(load(AgentConfig))._build_ws_url()).query)
    assert query["min_turn_silence"] == [sent]
