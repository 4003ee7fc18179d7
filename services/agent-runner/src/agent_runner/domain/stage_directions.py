"""Which text in asterisks or brackets is a stage direction, such as "laughs" or "lächelt", and not said. Pure.

A direction is a whole phrase: "(Breathless)" and "*Smile*" are names.
"""

import re
from typing import Final

from agent_runner.domain.spacing import is_unspaced


def _one_of(table: str) -> str:
    return "|".join(
        re.escape(phrase.strip()).replace(r"\ ", " ") for phrase in re.split(r"[,\n]", table) if phrase.strip()
    )


_ACTS: Final = _one_of("""
laughs, chuckles, giggles, sighs, smiles, grins, nods, shrugs, winks, pauses, gasps, coughs, sniffs, sniffles, sobs
cries, groans, yawns, whispers, breathes, inhales, exhales, hums, gulps, frowns, blushes, waves, snorts, smirks
pouts, beams, clears throat, clears her throat, clears his throat, clears my throat, takes a breath
takes a deep breath, rolls eyes
lacht, lächelt, kichert, seufzt, grinst, nickt, zwinkert, hustet, räuspert sich, flüstert, schmunzelt, gähnt, weint
schluchzt, stöhnt, atmet, atmet tief, holt tief luft, zuckt mit den schultern
ríe, se ríe, sonríe, suspira, asiente, guiña, guiña un ojo, tose, susurra, bosteza, solloza
rit, sourit, soupire, hoche la tête, tousse, chuchote, bâille, sanglote
sorri, acena, pisca, sussurra, boceja, soluça
sorride, sospira, annuisce, tossisce, sbadiglia, singhiozza, ridacchia
हँसता है, हंसता है, हँसती है, हंसती है, हँसते हुए, हंसते हुए, मुस्कुराता है, मुस्कुराती है, मुस्कुराते हुए, आह भरते हुए
笑, 笑い, 笑う, 微笑, 微笑む, 微笑み, ため息, うなずく, 頷く, 咳, 咳払い, 沈黙, くすくす
大笑, 轻笑, 苦笑, 笑着, 微笑着, 笑声, 叹气, 叹息, 点头, 咳嗽, 停顿, 眨眼, 耸肩, 沉默, 轻声, 轻轻地笑, 笑了笑
輕笑, 嘆氣, 點頭, 停頓
""")
_MANNERS: Final = _one_of("""
laughing, chuckling, giggling, sighing, smiling, grinning, nodding, shrugging, winking, pausing, gasping, coughing
crying, sniffing, sobbing, groaning, yawning, whispering, breathing, inhaling, exhaling, humming, gulping, frowning
blushing, waving, clearing throat, thinking, breathlessly
lachend, lächelnd, kichernd, seufzend, grinsend, nickend, flüsternd, schmunzelnd
riendo, sonriendo, suspirando, susurrando, riant, en riant, souriant, en souriant, en soupirant, rindo, sorrindo
suspirando, sussurrando, ridendo, sorridendo, sospirando, sussurrando
""")
_SOUNDS: Final = _one_of("laugh, laughter, chuckle, giggle, sigh, gasp, sob, groan, gulp, gelächter, seufzer")
_NOUNS: Final = _one_of("""
smile, grin, nod, shrug, wink, pause, cough, sniff, yawn, whisper, breath, inhale, exhale, frown, wave, cry, breathe
hum, lachen, lächeln, seufzen, risa, risas, sonrisa, suspiro, pausa, rire, rires, sourire, soupir
riso, risos, risada, risadas, sorriso, risata, risate, sospiro, ride, ri
""")
_BEFORE: Final = (
    r"(?:(?:soft|gentle|warm|quiet|nervous|slight|a|the|long|short|deep|brief|small|\w+ly|leise|laut|kurz|sanft) ){0,2}"
)
_ADVERB: Final = r"(?: (?:\w+(?:ly|mente)|doucement|leise|laut|kurz|sanft|herzlich))?"
# Chinese and Japanese phrases of a manner, such as "優しい声で", in brackets.
_UNSPACED_MANNER: Final = re.compile(
    "[^ ]{1,12}(?:ながら|しつつ|声で|そうに|表情で|口調で|様子で|地说|地說|着说|語氣|语气|口吻)"
    "|(?:轻轻|輕輕|轻声|小声|小聲|大声|慢慢|温柔|溫柔|开心|開心|高兴|高興|兴奋|惊讶|认真)地"
)
# Nouns, too: "the sea (waves) is rough".
_ORDINARY: Final = re.compile(
    "waves|pauses|beams|coughs|cries|hums|thinking|breathing|pausing|coughing|sniffing|humming|waving|yawning",
    re.IGNORECASE,
)
_ORDINARY_PHRASE: Final = re.compile(rf"(?:{_ORDINARY.pattern})(?: [^\s]+){{0,5}}", re.IGNORECASE)
_SIGH: Final = re.compile(r"(?:(?:deep|heavy|long|small|soft) )?(?:sigh|gasp|gulp|groan)", re.IGNORECASE)
_ALONE: Final = re.compile(rf"{_BEFORE}(?:{_ACTS}|{_MANNERS}|{_SOUNDS}){_ADVERB}", re.IGNORECASE)
_ACT: Final = re.compile(rf"{_BEFORE}(?:{_ACTS})(?: [^\s]+){{0,5}}", re.IGNORECASE)
_MANNER: Final = re.compile(rf"{_BEFORE}(?:{_MANNERS})(?: [^\s]+){{0,2}}", re.IGNORECASE)
_NOUN: Final = re.compile(rf"{_BEFORE}(?:{_SOUNDS}|{_NOUNS})(?: \w+ly)?", re.IGNORECASE)


def is_direction(
    text: str, *, is_between: bool, is_bracketed: bool, is_ending: bool = False, is_set_off: bool = False
) -> bool:
    """Whether the text says how something is said, or what the speaker does.

    Brackets are also remarks: an ordinary noun inside a sentence stays, and so does an act with more than an adverb
    after it that does not stand between two sentences. Asterisks are also emphasis: see `_is_starred`.

    Args:
        text: What stands between the asterisks or brackets.
        is_between: It stands between two sentences.
        is_bracketed: Brackets mark a remark, asterisks perhaps an emphasis.
        is_ending: A sentence or a part of it ends behind the text.
        is_set_off: A sentence, or a part of it, ends before the text.
    """
    words = " ".join(text.split()).rstrip(".!…,;")
    if is_between:
        kinds = (_ACT, _MANNER, _NOUN, *([_UNSPACED_MANNER] if is_bracketed else []))
        return any(kind.fullmatch(words) for kind in kinds)
    is_name = text[:1].isupper()
    if not is_bracketed:
        return not is_name and _is_starred(words, is_set_off=is_set_off)
    if _ALONE.fullmatch(words) and not _ORDINARY.fullmatch(words):
        return True
    return is_ending and not is_name and any(kind.fullmatch(words) for kind in (_NOUN, _ORDINARY))


def _is_starred(words: str, *, is_set_off: bool) -> bool:
    """Whether asterisked words inside a sentence are a direction.

    "I was *laughing*", "the *waves*" and a Chinese verb are emphasised words of the sentence.
    """
    if _ORDINARY_PHRASE.fullmatch(words) and (_ORDINARY.fullmatch(words) or not _ALONE.fullmatch(words)):
        return False
    if _SIGH.fullmatch(words):
        return True
    if _MANNER.fullmatch(words) or is_unspaced(words):
        return is_set_off and any(kind.fullmatch(words) for kind in (_ACT, _MANNER))
    return _ACT.fullmatch(words) is not None
