"""When the words so far are part of a number, a spelling or an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.dictation import is_dictating


@pytest.mark.parametrize(
    "text",
    [
        "My number is 555-0134",
        "It's five five five,",
        "Meine Nummer ist null eins sieben",
        "C'est le zéro six",
        "It is 41555.",
        "My name is spelled M A R",
        "john dot",
        "my address is john@",
        "my address is john@example",
        "john at gmail",
        "B underscore",
        "番号は〇九〇",
        "電話は 090",
        "我的电话是13800",
        "我的电话是138",
        "我的號碼是一三八",
        "私の番号は090-1234",
        "電話番号は090の",
        "番号はゼロ九ゼロの",
        "番号は〇六、二十三、四十五",
        "零六二十三四十五",
        "zéro six, vingt-trois, quarante-cinq",
        "C'est le zéro six vingt et un",
        "zéro six, soixante-quinze, quatre-vingt-dix-sept",
        "oh six twenty-three forty-five",
        "null dreißig",
        "null eins sechs zweiundzwanzig",
        "seis doce, treinta y cuatro, veintidós",
        "nove um, trinta e quatro, vinte",
        "meia nove dois",
        "Windows 11 24H2",
        "My phone number is A12",
        "My postcode is E 1",
        "A 7 5",
        "It's a 41555",
        "cero uno, diez y seis, treinta",
        "uno dos y tres",
        "Mi código es 5 y 6",
        "5 E 2 Y 7",
        "zero sei, ventitré, trentacinque",
        "नौ आठ, बत्तीस, सैंतालीस",
        "नाइन एट डबल",
        "मेरा नंबर 987",
        "My number is 555",
        "(555) 123",
        "My number is (555)",
        "+49",
        "Die Nummer ist 030/1234",
        "AB12 3CD",
        "My postcode is AB1",
        "B as in Bravo, O as in Oscar",
        "B as in Bravo",
        "B wie Berta, O wie Otto",
        "B comme Bernard",
        "B de Barcelona, E de España",
        "N come Napoli, O come Otranto",
        "five double",
        "my e-mail is john dot smith plus",
        "meine E-Mail ist john punkt",
        "3 point",
        "dos punto",
        "o meu e-mail é joão um ponto",
        "E-mail: jean un tiret",
        "O six, twenty-three",
        "Mon code est un sept",
        "um, dois, três",
        "É um dois três",
        "Well, a five three",
        "My name is P. M.",
        "March 3 1985 12",
        "5 h 3 7",
        "5-10",
        "At 7 30",
    ],
)
def test_a_pause_in_a_dictation_is_no_end(text: str) -> None:
    assert is_dictating(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "A table for two.",
        "At 10:30.",
        "It costs 1,400.",
        "In 2026.",
        "So do I.",
        "What are you looking at?",
        "It is john@example.com.",
        "john dot smith at example dot com",
        "555 0134, that is my number.",
        "第一",
        "我今年34",
        "我今年三十四",
        "二人です。3",
        "私 は 好 き",
        "Room 12.",
        "Room 512.",
        "My room number is 512.",
        "Meine Zimmernummer ist 512.",
        "I am 34.",
        "I am thirty-four.",
        "J'ai quatre-vingt-cinq.",
        "Tengo treinta y cinco.",
        "Mir geht es gut, ich bin vierunddreißig.",
        "In twenty twenty-six.",
        "At ten thirty.",
        "Oh, seven thirty.",
        "A las siete y treinta y cinco.",
        "Às dez e meia.",
        "Às duas e meia.",
        "À uma e meia.",
        "Às 2 e meia.",
        "Três horas e meia.",
        "Há uma hora e meia.",
        "A las dos y media.",
        "Alle due e mezza.",
        "Deux heures et demie.",
        "Um halb drei.",
        "It's a 7.",
        "I'd give it a nine.",
        "Give me a 5.",
        "À deux.",
        "O dois.",
        "I live at a B2.",
        "My mobile is a Galaxy S24.",
        "Four and six.",
        "Between one and two.",
        "Rooms one and two.",
        "Between ten and eleven thirty.",
        "Deux et trois.",
        "De deux à trois.",
        "Dos y tres.",
        "Dos o tres.",
        "Entre 5 y 6.",
        "A las 7 y 30.",
        "Diez y once.",
        "Dois e três.",
        "Due e tre.",
        "Alle sette e trenta.",
        "Zwei und drei.",
        "दो और तीन।",
        "सात तीस।",
        "At 10am.",
        "On the 3rd.",
        "My seat is A12.",
        "What's the point?",
        "Das ist der Punkt.",
        "È questo il punto.",
        "Esse é o ponto.",
        "On the dot.",
        "That's a plus.",
        "Und ich plus eins.",
        "A double.",
        "No plus",
        "O wie schön",
        "Soy de Madrid y de Barcelona.",
        "It's for you.",
        "I'd like a seven thirty.",
        "I'd like a ten fifteen.",
        "I'd take the seven thirty.",
        "A six forty-five, please, or an eight thirty.",
        "À sept trente.",
        "De sept à sept trente.",
        "De seis a siete treinta.",
        "Alle sei e trenta.",
        "O a sette quindici.",
        "Um ponto.",
        "É um ponto.",
        "Um plus.",
        "Es un punto.",
        "C'est un point.",
        "C'est un plus.",
        "È un punto.",
        "Un doppio.",
        "Quiero un doble.",
        "Um duplo.",
        "Um acht.",
        "Um sieben.",
        "Um sieben dreißig.",
        "So gegen acht, oder um neun.",
        "Um 7.",
        "Um, two.",
        "Um... seven thirty.",
        "Le doy un siete.",
        "Gli do un sette.",
        "Je lui donne un huit.",
        "Dou um nove.",
        "Dou-lhe um 9.",
        "Um dos dois.",
        "Nenhum dos dois.",
        "Um dos três.",
        "É o sete.",
        "I due.",
        "Tutti e due.",
        "E a due.",
        "Il y a deux.",
        "Il y en a deux.",
        "Qu'est-ce qu'il y a ?",
        "A las 7:00 p. m.",
        "A las siete p. m.",
        "A las 9 a. m.",
        "À 7 h.",
        "À 7 h 30.",
        "It was on March 3, 1985.",
        "On May 5 2026.",
        "七点三十。",
        "七時三十。",
        "सात बजकर तीस।",
        "5 to 10.",
        "5-10 people.",
    ],
)
def test_an_answer_is_no_dictation(text: str) -> None:
    assert not is_dictating(text)


UNITS = {
    "en": "oh one two three four five six seven eight nine",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "pt": "zero um dois três quatro cinco meia sete oito nove",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "hi": "शून्य एक दो तीन चार पाँच छह सात आठ नौ",
    "ja": "〇 一 二 三 四 五 六 七 八 九",
    "zh": "零 幺 二 三 四 五 六 七 八 九",
    "figures": "0 1 2 3 4 5 6 7 8 9",
}
TENS = {
    "en": ["twenty-three", "forty five", "ninety", "twelve", "seventy-one"],
    "de": ["dreiundzwanzig", "vierzig", "zwölf", "dreißig", "siebenundachtzig"],
    "es": ["veintitrés", "cuarenta y cinco", "noventa", "doce", "dieciséis"],
    "fr": ["vingt-trois", "vingt et un", "soixante-quinze", "dix-sept", "trente", "quatre-vingt-douze"],
    "pt": ["vinte e três", "quarenta", "doze", "oitenta e um"],
    "it": ["ventitré", "quaranta", "dodici", "settantuno", "ottantotto"],
    "hi": ["तेईस", "पैंतालीस", "बारह", "नब्बे", "निन्यानवे", "अड़तीस"],
    "ja": ["二十三", "四十", "十二"],
    "zh": ["二十三", "四十", "十二"],
}
JOINS = st.sampled_from([" ", ", ", "-", " - ", ". ", "、", "，"])


@given(st.sampled_from(sorted(UNITS)), st.lists(st.integers(0, 9), min_size=3, max_size=11), JOINS)
def test_a_number_said_in_digits_can_pause_anywhere_in_any_language(
    language: str, number: list[int], join: str
) -> None:
    names = UNITS[language].split()
    assert is_dictating(f"Well, {join.join(names[digit] for digit in number)}")


@given(st.sampled_from(sorted(TENS)), st.data(), JOINS, st.sampled_from([".", ",", "", "…", "।"]))
def test_a_number_in_pairs_can_pause_anywhere_in_any_language(
    language: str, data: st.DataObject, join: str, mark: str
) -> None:
    pairs = data.draw(st.lists(st.sampled_from(TENS[language]), min_size=3, max_size=5))
    assert is_dictating(f"{join.join(pairs)}{mark}")
    assert not is_dictating(f"{pairs[0]}{mark}")


@given(st.text("0123456789", min_size=3, max_size=12), st.sampled_from(["我的电话是", "電話番号は", "お電話は "]))
def test_digits_after_an_unspaced_word_are_found(number: str, before: str) -> None:
    assert is_dictating(before + number) or before == "お電話は "
    assert not is_dictating(f"{before}{number}です")


@given(st.text(max_size=200))
def test_any_text_can_be_asked_about(text: str) -> None:
    is_dictating(text)
