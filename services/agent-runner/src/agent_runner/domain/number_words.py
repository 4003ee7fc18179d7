"""The parts of a dictation among a caller's words: digits, names of numbers, spelled letters, what joins them. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias
from unicodedata import normalize

CJK: Final = r"\u3040-\u30ff\u3400-\u9fff"
"""The characters of Chinese and Japanese, which put no space between words; for a regular expression."""


CJK_TENS: Final = "[一二三四五六七八九]?十[一二三四五六七八九]?"
"""A number from ten to 99; for a regular expression, in which no backtracking may split it."""


def words(text: str) -> frozenset[str]:
    """The words of a table, normalised as a transcript is."""
    return frozenset(normalize("NFKC", text).casefold().split())


ZEROS: Final = words("zero null cero zéro शून्य ज़ीरो जीरो 零 〇 ゼロ")
_UNITS: Final = ZEROS | words("""
oh one two three four five six seven eight nine
eins zwei zwo drei vier fünf sechs sieben acht neun
uno dos tres cuatro cinco seis siete ocho nueve
un deux trois quatre cinq sept huit neuf
um dois três quatro sete oito nove meia
due tre quattro cinque sei sette otto
एक दो तीन चार पांच पाँच छह छः सात आठ नौ वन टू थ्री फोर फ़ोर फाइव फ़ाइव सिक्स सेवन एट नाइन
""")
_TENS: Final = words("""
twenty thirty forty fifty sixty seventy eighty ninety
veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa
dix vingt vingts trente quarante cinquante soixante septante huitante nonante
vinte trinta quarenta cinquenta sessenta oitenta
venti trenta quaranta cinquanta sessanta settanta ottanta novanta
""")
_WHOLE: Final = words("""
ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn
zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig
diez once doce trece catorce quince onze douze treize quatorze quinze seize
dez doze treze catorze dezesseis dezasseis dezessete dezassete dezoito dezenove dezanove
undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove
दस ग्यारह बारह तेरह चौदह पंद्रह पन्द्रह सोलह सत्रह अठारह उन्नीस बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस
उनतीस तीस इकतीस इकत्तीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस चालीस इकतालीस बयालीस तैंतालीस चौवालीस चवालीस
पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ साठ इकसठ बासठ तिरसठ
चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी अस्सी इक्यासी
बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे
""")
_COMPOUND: Final = re.compile(
    r"(?:ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)und\w+(?:zig|ssig)|(?:dieci|veinti)\w*|"
    r"(?:vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[ai]?"
    r"(?:uno?|due|tr[eé]|quattro|cinque|sei|sette|otto|nove)"
)
_FRENCH: Final = words("dix onze douze treize quatorze quinze seize")  # soixante-quinze, quatre-vingt-dix
_FRENCH_TENS: Final = words("vingt vingts soixante")
_LINKS: Final = frozenset(("y", "e", "et", "and"))  # of tens and units
_TEEN_LINKS: Final = frozenset(("y", "e"))  # "diez y seis"
_ALSO_WORDS: Final = {  # words, unless a number of their language stands before or behind them
    "um": words("zero um dois três quatro cinco seis meia sete oito nove"),  # German "at", English "erm", an article
    "un": words("zéro un deux trois quatre cinq six sept huit neuf"),  # an article
    "dos": words("cero uno dos tres cuatro cinco seis siete ocho nueve"),  # Portuguese "of the"
}
_NUMBERS: Final = ("digits", "unit", "tens")
_HALF: Final = ("e", "meia")  # "and a half", "half past"; by itself "meia" is "six"
_TIMES: Final = words("double triple doble doppel doppio duplo डबल ट्रिपल")
_JOINTS: Final = words("""
dot hyphen underscore slash bindestrich unterstrich schrägstrich guion guión tiret hífen trattino
arroba arobase chiocciola klammeraffe
""")
_MAYBE_JOINTS: Final = words("plus dash punkt punto barra point ponto डॉट の")

_FIGURES: Final = re.compile(r"\+?\d+|0\d\d+/\d+")
_MIXED: Final = re.compile(r"(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{2,8}")
_MEASURED: Final = re.compile(
    r"\d+(?:st|nd|rd|th|am|pm|h|s|k|m|km|cm|mm|kg|g|l|x|p|a|o|e|er|re|eme|ste|ter|min|hrs?|mb|gb|tb|eur|usd)"
)
_CJK_DIGITS: Final = re.compile(r"[〇零一二三四五六七八九幺]+")
_CJK_CHARACTER: Final = re.compile(f"[{CJK}]")

Kind: TypeAlias = Literal["digits", "unit", "tens", "letter", "mixed", "times", "joint", "maybe joint", "word"]


class Part(NamedTuple):
    """One token, or the tokens of one number such as "forty-five".

    Attributes:
        said: The token; of several the first.
        digits: How many digits, or letters, it stands for.
    """

    said: str
    kind: Kind
    digits: int = 1


def parts_of(tokens: Sequence[str]) -> list[Part]:
    """The tokens, in lower case and without punctuation, as parts of a dictation and other words."""
    return list(_parts(tokens))


def _parts(tokens: Sequence[str]) -> Iterator[Part]:
    at = 0
    last = "word"
    while at < len(tokens):
        said, *after = tokens[at : at + 4]
        if (said, *after[:1]) == _HALF:
            yield Part(said, "word")
            last = "word"
            at += 2
            continue
        if last == "tens" and said in _TEEN_LINKS and after and _kind(after[0]) in ("unit", "tens"):
            at += 1
            continue
        size, kind = 1, _kind(said)
        if last not in _NUMBERS and _is_also_word(said, after):
            kind = "word"
        if said in _TENS:
            size += _units_after(said, after)
        yield Part(said, kind, 2 if kind == "tens" else sum(map(str.isalnum, said)) if kind in _WRITTEN else 1)
        last = kind
        at += size


_WRITTEN: Final = ("digits", "mixed")


def _is_also_word(said: str, after: Sequence[str]) -> bool:
    """Whether "um", "un" or "dos" is another word, not a number: "um sieben", "un punto", "um dos dois"."""
    if said not in _ALSO_WORDS or not after or after[0] in _ALSO_WORDS[said]:
        return False
    kind = _kind(after[0])
    return kind in _NUMBERS or (said != "dos" and kind in ("times", "maybe joint"))


def _units_after(tens: str, after: Sequence[str]) -> int:
    """How many of the tokens after a name of tens belong to the same number."""
    link = int(len(after) > 1 and after[0] in _LINKS)
    unit = after[link] if len(after) > link else ""
    if unit in _FRENCH and tens in _FRENCH_TENS:
        has_another = unit == "dix" and len(after) > link + 1 and after[link + 1] in _UNITS
        return link + 1 + has_another
    return link + 1 if unit in _UNITS and unit not in ZEROS else 0


def _kind(said: str) -> Kind:
    """The token's kind, taken by itself."""
    if _FIGURES.fullmatch(said):
        return "digits"
    for kind, names in _NAMED:
        if said in names:
            return kind
    if _COMPOUND.fullmatch(said) or re.fullmatch(CJK_TENS, said):
        return "tens"
    if _CJK_DIGITS.fullmatch(said):
        return "digits"
    if len(said) == 1 and said.isalpha() and not _CJK_CHARACTER.match(said):
        return "letter"
    return "mixed" if _MIXED.fullmatch(said) and not _MEASURED.fullmatch(said) else "word"


_NAMED: Final[tuple[tuple[Kind, frozenset[str]], ...]] = (
    ("unit", _UNITS),
    ("tens", _TENS | _WHOLE),
    ("times", _TIMES),
    ("joint", _JOINTS),
    ("maybe joint", _MAYBE_JOINTS),
)
