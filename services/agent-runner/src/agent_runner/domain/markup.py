"""What of a language model's text is markup: tags, links, code, emphasis, stage directions, addresses. Pure.

Each function looks at the text from a character on that may begin a construct.
"""

import re
from collections.abc import Callable
from html import unescape
from typing import Final, NamedTuple

from agent_runner.domain.delivery import TAG
from agent_runner.domain.hidden_text import THOUGHT, hidden
from agent_runner.domain.stage_directions import is_direction

_LONGEST_URL: Final = 2_000
_LONGEST: Final = 300  # characters of a bracket or tag; a longer one is text
_LONGEST_EMPHASIS: Final = 120
_LONGEST_ASIDE: Final = 60


class Taken(NamedTuple):
    """A construct: how many characters it has (0: more text is needed to tell), and what is said instead of it.

    Attributes:
        again: What is said may contain markup itself.
        is_hidden: It does not belong to the answer: thoughts, or a tool's call that the model wrote as text.
    """

    length: int
    said: str = ""
    again: bool = False
    is_hidden: bool = False


MORE: Final = Taken(0)


class Said(NamedTuple):
    """What stands before a construct.

    Attributes:
        before: The last character.
        is_between: A sentence has ended there.
        is_set_off: A sentence, or a part of it, has ended there.
    """

    before: str
    is_between: bool
    is_set_off: bool


_TAGGED: Final = re.compile(r"</?[A-Za-z!|｜][^<>]*>")
_BLOCK: Final = re.compile(r"</?(?:br|p|div|li|tr|td|h\d)\b", re.IGNORECASE)  # words do not join across it
_COMPARED: Final = re.compile(r"<[^\s<>=]*\s+[^\s<>=]+[\s>]")  # "x<y and z>w"
_SCHEMES: Final = ("https://", "http://", "www.", "ftp://", "mailto:", "tel:")
_AUTOLINK: Final = re.compile(
    r"<((?:https?://|ftp://|www\.|mailto:|tel:)[^\s<>]*|[^\s<>@/:]+@[^\s<>@]+\.[^\s<>@]+)>", re.IGNORECASE
)
_BRACKET: Final = re.compile(r"!?\[([^\[\]]*)\]")
_TARGET: Final = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_REFERENCE: Final = re.compile(r"\[([^\[\]]*)\]")
_DEFINITION: Final = re.compile(r"\[[^\[\]\n]{1,60}\]:[ \t]*(?:<|https?://|www\.)[^\n]*", re.IGNORECASE)
_MAY_DEFINE: Final = re.compile(r":[ \t]*[^\s:]{0,5}:?/?/?")
_ENDS: Final = tuple(".!?,;:。")
_SHORTEST_NUMBER: Final = 3  # digits of a room at a sentence's end; a source's number has fewer
_CODE: Final = re.compile(r"(?=.*\d)[^\W_](?:[^\W_]|[ :.,/#+-]){0,19}")  # a seat, a key, a time
_CITATION: Final = re.compile(r"\^.*|[\d\s,;–-]+")
_EMPHASIS: Final = re.compile(r"(\*+)(?=[^\s*])([^*\n]*[^\s*])\1")
_UNDERSCORED: Final = re.compile(r"_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)")
_STRUCK: Final = re.compile(r"~~[^~\n]+~~")
_ASIDE: Final = re.compile(r"[(（]([^()（）\n]*)[)）]")
_WIDE_BRACKET: Final = re.compile(r"【([^【】\n]*)】|〔([^〔〕\n]*)〕|［([^［］\n]*)］")
_CLAUSE_END: Final = re.compile(r" *(?:$|[\n\[.!?,;:…。！？，、；।॥–—])")  # a tag begins a sentence
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,30});")
_CJK: Final = r"\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"  # a Chinese or Japanese sentence goes on without a space
_ADDRESS: Final = re.compile(
    rf"(?:(?:https?|ftp)://(?:[^\s/@)\]<>\"{_CJK}]+@)?)?(?:www\.)?((?:[^\W{_CJK}]|[.-])*[^\W{_CJK}])?([^\s)\]<>\"{_CJK}]*)",
    re.IGNORECASE,
)
_CONTACT: Final = re.compile(r"(?:mailto:([\w.+@%-]*)|tel:([\d+().-]*))(?:\?[\w.+@%=&-]*)?", re.IGNORECASE | re.ASCII)


def _angle(rest: str, is_end: bool, said: Said) -> Taken | None:
    """Thoughts or a tool's call with their tags, a link without a label, and any other tag."""
    if (length := hidden(rest, is_end=is_end)) is not None:
        return Taken(length, is_hidden=True)
    if link := _AUTOLINK.match(rest):
        return Taken(link.end(), spoken_address(link[1]))
    if said.before.isalnum() and _COMPARED.match(rest):
        return None
    if tag := _TAGGED.match(rest):
        return Taken(tag.end(), " " if _BLOCK.match(rest) else "")
    may_open = len(rest) < 3 or re.match(r"</?[A-Za-z!|｜]", rest)
    longest = _LONGEST_URL if rest[1:].lower().startswith(_SCHEMES) else _LONGEST
    return MORE if may_open and not is_end and len(rest) <= longest else None


def _code(rest: str, is_end: bool, _said: Said) -> Taken | None:
    """A block of code; the marks of code in a line are dropped as characters."""
    if not rest.startswith("```"):
        return MORE if "```".startswith(rest) and not is_end else None
    closed = rest.find("```", 3)
    if closed >= 0:
        return Taken(closed + 3)
    return Taken(len(rest)) if is_end else MORE


def _bracket(rest: str, is_end: bool, said: Said) -> Taken | None:
    """An emotion tag, a link or image with its label, a short code such as "[A12]", or a stage direction."""
    if (length := hidden(rest, is_end=is_end)) is not None:
        return Taken(length, is_hidden=True)
    if closed := THOUGHT.match(rest):
        return Taken(closed.end())
    if rest[0] == "!" and rest[1:2] not in ("", "["):
        return None
    found = _BRACKET.match(rest)
    if found is None:
        is_open = "]" not in rest and len(rest) <= _LONGEST and not is_end
        return MORE if is_open else None
    if TAG.fullmatch(found.group()):
        return Taken(found.end(), found.group().lower().replace(" ", ""))
    if target := _TARGET.match(rest, found.end()):
        return Taken(target.end(), found[1], again=True)
    label, after = found[1], rest[found.end() :]
    if said.before in ("", "\n") and (defined := _defined(rest, after, is_end)):
        return defined
    act = is_direction(label, is_between=True, is_bracketed=True) or not label
    reference = _REFERENCE.match(after)
    if reference and not act and not _CITATION.fullmatch(label) and not TAG.fullmatch(reference.group()):
        return Taken(found.end() + reference.end(), label, again=True)
    is_open = after[:1] == "[" and "]" not in after and len(after) < _LONGEST
    may_be_link = after == "" or is_open or (after[0] == "(" and len(after) < _LONGEST_URL)
    if may_be_link and not is_end:
        return MORE
    return Taken(found.end(), label if _is_code(label, after, said) and not act else "")


def _wide_bracket(rest: str, is_end: bool, said: Said) -> Taken | None:
    """A Chinese or Japanese bracket, told like "[...]"; in 【】 stand also headings and emphasis, which stay."""
    found = _WIDE_BRACKET.match(rest)
    if found is None:
        is_open = len(rest) <= _LONGEST and not re.search(r"[】〕］\n]", rest)
        return MORE if is_open and not is_end else None
    after = rest[found.end() :]
    if after == "" and not is_end:
        return MORE
    label = found[found.lastindex or 0]
    if TAG.fullmatch(f"[{label}]"):
        return Taken(found.end(), f"[{label.strip().lower()}]")
    is_source = "†" in label or _CITATION.fullmatch(label)
    is_kept = (rest[0] == "【" and not is_source) or _is_code(label, after, said)
    if not is_kept or is_direction(label, is_between=True, is_bracketed=True):
        return Taken(found.end())
    return Taken(found.end(), f"{label} " if said.is_between else label, again=True)


def _defined(rest: str, after: str, is_end: bool) -> Taken | None:
    """The line that gives a reference its URL."""
    if found := _DEFINITION.match(rest):
        return MORE if found.end() == len(rest) and not is_end and len(rest) < _LONGEST_URL else Taken(found.end())
    return MORE if _MAY_DEFINE.fullmatch(after) and not is_end else None


def _is_code(label: str, after: str, said: Said) -> bool:
    """Whether a bracket is a seat, a key or a time, and not the number of a source."""
    if not _CODE.fullmatch(label):
        return False
    is_ending = after[:1] in ("", *_ENDS, "[") and len(label) < _SHORTEST_NUMBER
    return not _CITATION.fullmatch(label) or not (is_ending or said.before.isalnum() or said.before in _ENDS)


def _starred(rest: str, is_end: bool, said: Said) -> Taken | None:
    """Emphasis, which stays, or a stage direction: it says so, or it stands between two sentences and is not bold.

    Two asterisks or more that mark nothing are an emphasis that was not written right: only a single one is said.
    """
    if found := _EMPHASIS.match(rest):
        if said.before.isdecimal() and found[2][0].isdecimal():
            return None if len(found[1]) == 1 else Taken(len(found[1]), " ")
        is_between = said.is_between and found[1] == "*"
        act = is_direction(found[2], is_between=is_between, is_bracketed=False, is_set_off=said.is_set_off)
        return Taken(found.end(), "" if act or (is_between and found[2][0].islower()) else found[2], again=True)
    inner = rest.lstrip("*")
    is_open = inner == "" or not (inner[0].isspace() or "\n" in inner or "*" in inner.rstrip("*"))
    if is_open and len(rest) <= _LONGEST_EMPHASIS and not is_end:
        return MORE
    run = len(rest) - len(inner)
    return None if run == 1 else Taken(run, " " if said.before.isdecimal() and inner[:1].isdecimal() else "")


def _underscored(rest: str, is_end: bool, said: Said) -> Taken | None:
    """A stage direction; of emphasis and of names such as "snake_case" the words stay."""
    if said.before.isalnum():
        return MORE if rest == "_" and not is_end else None
    if found := _UNDERSCORED.match(rest):
        if found.end() == len(rest) and not is_end:
            return MORE
        act = is_direction(found[1], is_between=False, is_bracketed=False, is_set_off=said.is_set_off)
        return Taken(found.end()) if act else None
    inner = rest[1:]
    is_open = inner == "" or not (inner[0] in "_ \t" or "\n" in inner or re.search(r"_\w", inner))
    return MORE if is_open and len(rest) <= _LONGEST_EMPHASIS and not is_end else None


def _struck(rest: str, is_end: bool, _said: Said) -> Taken | None:
    """Text that the model takes back."""
    if found := _STRUCK.match(rest):
        return Taken(found.end())
    is_open = rest[1:2] in ("", "~") and len(rest) <= _LONGEST_EMPHASIS and "\n" not in rest
    return MORE if is_open and not is_end else None


def _aside(rest: str, is_end: bool, said: Said) -> Taken | None:
    """A stage direction in round brackets; another remark stays."""
    if found := _ASIDE.match(rest):
        inner = found[1]
        inside, ending = (
            is_direction(inner, is_between=said.is_between, is_bracketed=True, is_ending=is_ending)
            for is_ending in (False, True)
        )
        if inside != ending and not is_end and rest[found.end() :].strip(" ") == "":
            return MORE
        return Taken(found.end()) if (ending if _CLAUSE_END.match(rest, found.end()) else inside) else None
    is_open = len(rest) <= _LONGEST_ASIDE and not re.search(r"[()（）\n]", rest[1:])
    return MORE if is_open and not is_end else None


def _entity(rest: str, is_end: bool, _said: Said) -> Taken | None:
    """A character that HTML escapes."""
    if found := _ENTITY.match(rest):
        character = unescape(found.group())
        return Taken(found.end(), character) if character != found.group() else None
    return MORE if not is_end and re.fullmatch(r"&#?\w{0,31}", rest) else None


def _address(rest: str, is_end: bool, said: Said) -> Taken | None:
    """A URL, whose host is said, or a contact."""
    lower = rest.lower()
    is_word = said.before.isalnum() or said.before in tuple("@.-/")
    if lower[0] != "h" and is_word:
        return None
    if not lower.startswith(_SCHEMES):
        is_open = any(start.startswith(lower) for start in _SCHEMES)
        return MORE if is_open and not is_end else None
    found = _CONTACT.match(rest) or _ADDRESS.match(rest)
    assert found is not None
    if found.end() == len(rest) and not is_end and len(rest) < _LONGEST_URL:
        return MORE
    return Taken(found.end(), spoken_address(found.group()))


def spoken_address(address: str) -> str:
    """The host of a URL, or the contact of a `mailto:` or `tel:`, with the mark that ends the sentence."""
    end = address[-1] if address[-1:] in tuple(".!?,;:") else ""
    if contact := _CONTACT.match(address):
        return (contact[1] or contact[2] or "").rstrip(".") + end
    if "@" in address and not address.lower().startswith(_SCHEMES):
        return address
    found = _ADDRESS.match(address)
    return (found[1] or "") + end if found else ""


CONSTRUCTS: Final[dict[str, Callable[[str, bool, Said], Taken | None]]] = {
    "<": _angle,
    "`": _code,
    "[": _bracket,
    "!": _bracket,
    "*": _starred,
    "_": _underscored,
    "~": _struck,
    "(": _aside,
    "（": _aside,
    **dict.fromkeys("【〔［", _wide_bracket),
    "&": _entity,
    **dict.fromkeys("hHwWfFmMtT", _address),
}
"""The character that begins a construct -> what tells it; None: the character is text."""
