"""What the agent says by itself in a call, with the settings that replace it."""

import json
from typing import Any

import pytest
from pipecat.services.assemblyai.stt import language_to_assemblyai_language
from pipecat.transcriptions.language import Language
from pydantic import ValidationError

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.lines import name_of
from agent_runner.domain.prompt import CRITICAL_RULES, system_instruction
from agent_runner.worker.providers.spoken_language import for_assembly, for_inworld
from contracts.lines import TABLE
from sandbox.assemblyai.messages import parameters


def config(**changes: Any) -> AgentConfig:
    keys = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
    return AgentConfig.model_validate({**keys, **changes})


def test_without_settings_a_call_has_the_lines_of_its_language() -> None:
    assert config().lines_in("de-AT") == TABLE["de"]
    assert config().lines_in(None) == TABLE["en"]


def test_a_setting_of_one_line_holds_in_every_language_unless_the_language_has_its_own() -> None:
    set_up = config(
        apology="Sorry.", user_idle_prompt="Hello?", spoken_lines={"de": {"apology": "Oje.", "sorry": "Bitte?"}}
    )
    german, french = set_up.lines_in("de"), set_up.lines_in("fr")
    assert (german.apology, german.idle_prompt, german.sorry) == ("Oje.", "Hello?", "Bitte?")
    assert (french.apology, french.idle_prompt, french.sorry) == ("Sorry.", "Hello?", TABLE["fr"].sorry)


def test_the_voice_gets_no_markup_of_a_setting() -> None:
    lines = config(
        apology="**Sorry** *sighs*.",
        spoken_lines={"en": {"sorry": "[happy] _What_?", "opening": "Hi **{name}**!", "bridge": "*Sorry.*"}},
    ).lines_in("en")
    assert (lines.apology, lines.sorry, lines.opening) == ("Sorry.", "[happy] What?", "Hi {name}!")
    assert lines.bridge_to_answer == lines.bridge == "Sorry."


def test_a_language_with_script_or_region_has_its_own_lines_before_those_of_the_shorter_tags() -> None:
    set_up = config(
        apology="Sorry.",
        spoken_lines={"zh": {"sorry": "1", "bridge": "1", "goodbye": "1"}, "ZH-hant": {"sorry": "2", "apology": "2"}},
    )
    found = set_up.lines_in("zh-Hant-TW")
    assert (found.sorry, found.bridge, found.goodbye, found.apology) == ("2", "1", "1", "2")
    assert set_up.lines_in("zh-TW").sorry == "1"


def test_the_warning_of_the_limit_can_be_switched_off_in_every_language() -> None:
    assert config(credit_warning="none").warning_in("de").text == ""
    assert config().warning_in("de").text == TABLE["de"].credit_warning


@pytest.mark.parametrize(
    "bad",
    [
        {"de": {"sory": "Bitte?"}},
        {"German": {"sorry": "Bitte?"}},
        {"de": {"sorry": ""}},
        {"de": {"sorry": "…"}},
        {"de": {"sorry": " "}},
    ],
)
def test_a_misspelt_line_or_language_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="spoken_lines"):
        config(spoken_lines=bad)


def test_the_rules_stay_last_and_name_the_language() -> None:
    assert system_instruction("Be kind.") == f"Be kind.\n\n{CRITICAL_RULES}"
    assert system_instruction("Be kind.", "pt-BR").startswith(
        f"Be kind.\n\n{CRITICAL_RULES}\n- Speak Portuguese (pt-BR),"
    )
    assert "Speak fi," in system_instruction("Be kind.", "fi")


@pytest.mark.parametrize(
    ("tag", "codes", "voice"),
    [
        ("de", ["de"], "de-DE"),
        ("pt-PT", ["pt"], "pt-BR"),
        ("zh-Hans-CN", ["zh"], "zh-CN"),
        ("fi", ["fi"], None),
        ("xh", ["xh-ZA"], None),
        ("nb-NO", ["no"], None),
        ("pl", None, "pl-PL"),
        ("th", None, None),
        ("xx", None, None),
        (None, None, None),
    ],
)
def test_each_provider_gets_only_a_language_that_it_lists(
    tag: str | None, codes: list[str] | None, voice: str | None
) -> None:
    assert (for_assembly(tag), for_inworld(tag)) == (codes, voice)


def test_assembly_is_pinned_only_to_what_it_accepts() -> None:
    for language in Language:
        for code in for_assembly(str(language.value)) or ():
            query = {"sample_rate": "16000", "language_codes": json.dumps([language_to_assemblyai_language(code)])}
            assert parameters(query)


@pytest.mark.parametrize("language", [*TABLE])
@pytest.mark.parametrize("name", ["sorry", "broke_off", "idle_prompt", "credit_warning", "apology", "bridge"])
def test_a_line_has_its_name_by_what_was_heard_of_it(language: str, name: str) -> None:
    lines = TABLE[language]
    heard = getattr(lines, name)
    assert name_of(f" {heard.upper().replace(',', ' ,')}", lines, is_whole=True) == name
    assert name_of(heard[:-4], lines, is_whole=False) == name
    assert name_of(heard[:-4], lines, is_whole=True) == "line"


@pytest.mark.parametrize("heard", ["Sorry, I", "I will be back.", "", "…"])
def test_the_beginning_of_several_lines_and_words_of_none_are_a_line(heard: str) -> None:
    assert name_of(heard, TABLE["en"], is_whole=False) == "line"


def test_of_two_lines_with_the_same_words_the_first_is_told() -> None:
    lines = config(spoken_lines={"en": {"bridge": "Back again.", "broke_off": "Back again."}}).lines_in(None)
    assert name_of("Back again.", lines, is_whole=True) == "bridge"
