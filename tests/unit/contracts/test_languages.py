"""A session's language, and what the agent says by itself in it."""

from dataclasses import asdict
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.api import StartRequest
from contracts.languages import Language, lookup
from contracts.lines import TABLE, LineName, Lines, lines_in

TAG: TypeAdapter[str] = TypeAdapter(Language)


@pytest.mark.parametrize(
    ("sent", "kept"), [("DE", "de"), ("pt-br", "pt-BR"), ("zh-hans-cn", "zh-Hans-CN"), ("es-419", "es-419")]
)
def test_a_tag_has_one_form(sent: str, kept: str) -> None:
    assert TAG.validate_python(sent) == kept


@pytest.mark.parametrize("bad", ["", "German", "de_DE", "d", "de-DE-1996", "de-", "de\n", 7, ["de"]])
def test_another_text_is_refused_with_the_field_and_the_fix(bad: object) -> None:
    with pytest.raises(ValidationError) as refused:
        StartRequest.model_validate({"userName": "Ann", "language": bad})
    [error] = refused.value.errors()
    assert error["loc"] == ("language",)
    if isinstance(bad, str):
        assert 'such as "de" or "pt-BR"' in error["msg"]


@pytest.mark.parametrize("language", list(TABLE))
def test_every_language_has_every_line_as_a_sentence(language: str) -> None:
    lines = asdict(TABLE[language])
    assert lines.keys() == set(get_args(LineName))
    assert all(text[-1] in ".?。？।" and len(text) <= 100 for text in lines.values())
    assert all(("{name}" in text) == (name == "opening") for name, text in lines.items())
    assert len(set(lines.values())) == len(lines)


def test_a_region_speaks_its_language_and_a_language_without_lines_english() -> None:
    assert lines_in("pt-BR") == TABLE["pt"]
    assert lines_in("fi") == lines_in(None) == TABLE["en"]


def test_a_replaced_line_of_the_region_goes_before_one_of_the_language() -> None:
    replaced: dict[str, dict[LineName, str]] = {
        "de": {"sorry": "Wie bitte?", "goodbye": "Tschüss."},
        "de-CH": {"goodbye": "Adieu."},
    }
    swiss: Lines = lines_in("de-CH", replaced)
    assert (swiss.sorry, swiss.goodbye, swiss.bridge) == ("Wie bitte?", "Adieu.", TABLE["de"].bridge)
    assert lines_in("en", replaced) == TABLE["en"]


def test_a_replaced_bridge_stands_for_both_unless_both_are_replaced() -> None:
    assert lines_in("fi", {"fi": {"bridge": "Anteeksi."}}).bridge_to_answer == "Anteeksi."
    both: dict[str, dict[LineName, str]] = {"fi": {"bridge": "Jatka.", "bridge_to_answer": "Anteeksi."}}
    assert lines_in("fi-FI", both).bridge_to_answer == "Anteeksi."


def test_what_a_language_has_is_looked_up_from_the_most_specific_tag() -> None:
    assert lookup("zh-Hant-TW") == ("zh-Hant-TW", "zh-Hant", "zh")
    assert lookup("de") == ("de",)
