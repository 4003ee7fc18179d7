"""Whether the caller is in the middle of a number, a spelling or an e-mail address, by the words so far. Pure."""

import re
from collections.abc import Sequence
from typing import Final
from unicodedata import normalize

from agent_runner.domain.number_words import CJK, CJK_TENS, ZEROS, Part, parts_of, words

_LONG_NUMBER: Final = 5  # digits of one token
_RUN: Final = 2  # tokens in a row: "two" is an answer, "two four" is dictation
_LONG_RUN: Final = 3  # with a name above nine: "seven thirty" is an answer, too
_ANNOUNCED: Final = 3  # digits of one token after "my number is"; of a code also letters
_NEAR: Final = 5  # tokens between that word and the digits, at most

_PHONES: Final = words("""
phone mobile cell telefonnummer handynummer mobilnummer rufnummer vorwahl teléfono móvil celular téléphone portable
telefone telemóvel telefono cellulare फोन फ़ोन मोबाइल
""")
_CODES: Final = words("""
number code postcode zip pin extension reference nummer kundennummer kontonummer bestellnummer postleitzahl plz
número código numéro cep numero codice नंबर नम्बर कोड पिन
""")
_PHONES_CJK: Final = re.compile("电话|電話|手机|手機")
_CODES_CJK: Final = re.compile("号码|號碼|邮编|卡号|番号|コード")
_COUNTED: Final = re.compile(
    "room|house|seat|table|flight|gate|platform|page|bus|chambre|habitación|mesa|quarto|camera|stanza|tavolo|zimmer|"
    "tisch|कमरा|.*(?:部屋|房间|房間|座).*"
)
_MAIL: Final = re.compile("e?mails?|correo|courriel|adresse|address|indirizzo|endereço|ईमेल|.*(?:メール|邮箱|郵箱).*")
_ARTICLES: Final = words("the a an der den die das ein eine einen le la un une el los las o os um uma il lo una")
_LETTER_WORDS: Final = frozenset("aàeioyuéè")  # words of one letter, in one of the languages
_NUMBER_ARTICLES: Final = frozenset(("un", "um"))
_NUMBERS: Final = frozenset(("digits", "unit", "tens"))
_MONTHS: Final = words("january february march april may june july august september october november december")
_YEAR: Final = 4  # digits
_HOSTS: Final = frozenset(("gmail", "googlemail", "outlook", "hotmail", "yahoo", "icloud", "proton", "gmx", "aol"))
_AT: Final = frozenset(("at", "ät", "arroba", "arobase", "chiocciola", "klammeraffe"))
_CJK_PARTS: Final = re.compile(rf"(?>{CJK_TENS})|(?:ゼロ|[〇零幺]|[一二三四五六七八九](?!十))+")
_CJK_NUMBER: Final = re.compile(
    rf"(?:(?>{CJK_TENS})|[〇零幺]|[一二三四五六七八九](?!十)|ゼロ|れい|まる|いち|に|さん|よん|ご|ろく|なな|はち|きゅう){{3,}}の?$"
)
_CJK_END: Final = re.compile(rf"(?:(?>{CJK_TENS})|ゼロ|[〇零幺]|[一二三四五六七八九](?!十))+$")
_SPACES: Final = str.maketrans(dict.fromkeys("、，。", " "))  # no space follows these marks
_BETWEEN: Final = re.compile(r"[\s‐-―-]+")
_MARKS: Final = '.,!?…;:。、，！？।॥()[]{}<>«»"“”„'
_EDGE: Final = re.compile(rf"(?<=[{CJK}])(?=[\da-z])|(?<=[\da-z])(?=[{CJK}])")
_INTERJECTION: Final = re.compile(r"(?:^|(?<=[.!?]))\s*oh[,!.]+\s")  # else it is a zero
_NOON: Final = re.compile(r"\b([ap])\.\s?m\b")  # "7:00 p. m."; capitals are spelled letters
_HOUR: Final = re.compile(r"(\d)\s+h\b(?:\s+(\d\d)\b)?")  # "7 h 30"
_SPELLED: Final = re.compile(
    r"(?<![\w'’])([^\W\d_])\s+(as in|wie|comme|como|come|जैसे|für|for|like|de|di|da)\s+([^\W\d_]+)"
)


def is_dictating(text: str) -> bool:
    """Whether the words so far end inside a dictation, so that a pause there does not end the turn.

    A complete e-mail address is not inside one; whether a number is complete cannot be known.
    """
    tokens = _tokens(text)
    if not tokens:
        return False
    last = tokens[-1]
    if "@" in last:
        return "." not in last.partition("@")[2]
    if (last in _HOSTS and tokens[-2:-1] and tokens[-2] in _AT) or _CJK_NUMBER.search(last):
        return True
    parts = parts_of(tokens)
    size = next((n for n, part in enumerate(reversed(parts)) if part.kind == "word"), len(parts))
    run = parts[len(parts) - size :]
    before = [part.said for part in parts[: len(parts) - size]]
    return _is_open(run, before) or _is_number(_trimmed(run), before)


def _tokens(text: str) -> list[str]:
    text = _HOUR.sub(r"\1h\2", _NOON.sub(r"\1m", normalize("NFKC", text.translate(_SPACES))))
    text = _EDGE.sub(" ", _INTERJECTION.sub(" ", _SPELLED.sub(_letter, text).casefold()))
    found = [token for part in _BETWEEN.split(text) if (token := part.strip(_MARKS))]
    return [token for one in found for token in _split_number(one)]


def _split_number(token: str) -> list[str]:
    """The Chinese or Japanese number at the end of a token apart from the words before it."""
    if (end := _CJK_END.search(token)) is None or _CJK_NUMBER.search(token):
        return [token]
    return [*filter(None, (token[: end.start()],)), *_CJK_PARTS.findall(end.group())]


def _letter(found: re.Match[str]) -> str:
    """The letter of "B as in Bravo". It counts twice: one such letter is dictation."""
    letter, link, word = found.groups()
    if link == "as in":
        return f"{letter} {letter}"
    if letter.casefold() in _LETTER_WORDS:  # "o wie schön", "y de Madrid"
        return letter if word[0].isupper() and letter.isupper() else found.group()
    return f"{letter} {letter}" if link not in ("for", "like", "de", "di", "da") else letter


def _trimmed(run: Sequence[Part]) -> Sequence[Part]:
    """The run without what joins or multiplies nothing: "a double", "a plus", "plus one"."""
    while run:
        articles = next((n for n, part in enumerate(run) if part.said not in _LETTER_WORDS), 0)
        if articles and run[articles].kind in ("maybe joint", "times"):
            run = run[articles:]
        elif run[0].kind == "maybe joint" or (run[0].kind == "times" and len(run) == 1):
            run = run[1:]
        else:
            break
    return run


def _without_links(run: Sequence[Part], before: Sequence[str]) -> Sequence[Part]:
    """The last of one or two numbers that words of one letter, or an article, lead to: "a 7", "y a deux", "5 e 6"."""
    if len(run) == _RUN and run[0].said in _NUMBER_ARTICLES and run[1].kind in _NUMBERS and before:
        return run[1:]
    groups: list[list[Part]] = [[]]
    for part in run:
        if part.said in _LETTER_WORDS:
            groups.append([])
        else:
            groups[-1].append(part)
    numbers = [group for group in groups if group]
    kinds = {part.kind for group in numbers for part in group}
    if len(groups) == 1 or not groups[-1] or not (kinds <= _NUMBERS or (kinds == {"mixed"} and len(run) == _RUN)):
        return run
    match numbers:
        case [number] if len(number) < _RUN or run[-len(number) - 1].said != "o":  # "O six twenty-three": a zero
            return number
        case [first, second] if _is_time(first):
            return second
        case _:
            return run


def _is_time(number: Sequence[Part]) -> bool:
    """Whether it is one number, or two such as "seven thirty"."""
    return len(number) == 1 or (len(number) == _RUN and any(part.kind == "tens" for part in number))


def _is_open(run: Sequence[Part], before: Sequence[str]) -> bool:
    """Whether a joint at the end waits for what it joins: of an address after any word but an article."""
    if not run or run[-1].kind not in ("joint", "maybe joint") or (len(run) == 1 and not before):
        return False
    has_mail = any(map(_MAIL.fullmatch, before))
    if len(run) == 1 and before[-1] in _ARTICLES and not (has_mail and before[-1] in _NUMBER_ARTICLES):
        return False
    return run[-1].kind == "joint" or (len(run) == 1 and has_mail)


def _is_number(run: Sequence[Part], before: Sequence[str]) -> bool:
    """Whether a run of digits, letters and names of numbers is more than an answer."""
    if not run or [part.said for part in run] == ["y", "a"]:  # "Qu'est-ce qu'il y a ?"
        return False
    near = before[-_NEAR:]
    if near and near[-1] in _MONTHS and [part.digits for part in run[1:]] == [_YEAR]:  # "March 3, 1985"
        return False
    is_counted = any(map(_COUNTED.fullmatch, near))
    is_code = not is_counted and any(word in _CODES or _CODES_CJK.search(word) for word in near)
    is_phone = not is_counted and any(word in _PHONES or _PHONES_CJK.search(word) for word in near)
    is_announced = is_code or is_phone
    if not is_announced:
        run = _without_links(run, before)
    has_tens = any(part.kind == "tens" for part in run)
    least = _LONG_RUN if has_tens and not is_announced and not _is_zero(run[0].said) else _RUN
    if len(run) >= least:
        return True
    last = run[-1]
    if last.kind == "digits" and _is_long(last.said):
        return True
    is_expected = (is_announced and last.kind == "digits") or (is_code and last.kind == "mixed")
    return is_expected and last.digits >= _ANNOUNCED


def _is_zero(token: str) -> bool:
    return token in ZEROS or token[0] in "0〇零"


def _is_long(token: str) -> bool:
    """One token that is more than a price, a year or a time: an area code begins with a zero."""
    return token[0] == "+" or len(token) >= _LONG_NUMBER or (token[0] == "0" and len(token) > _RUN)
