"""What of a model's text reaches the voice, in whatever pieces it arrives."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.delivery import EMOTIONS, has_words, tag_for, without_tags
from agent_runner.domain.speakable import Speakable, speakable

PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<break time='1s'/>", "<b>", "<", ">", "```", "`", "**", "*", "_", "~~", "\n", "\n\n"),
        *(
            "[happy]",
            "[laughs warmly]",
            "[menu](https://a.b/c)",
            "![",
            "[",
            "]",
            "(",
            ")",
            "(laughs)",
            "(risa)",
            "(waves to us)",
            "*sighs*",
            "*smiling*",
            "**quietly**",
            "_sighs_",
            "_so_",
            "*quietly*",
            "!",
        ),
        *("# ", "- ", "1. ", "> ", "---", "| a |", "😀", "👍🏽", "…", "—", " ", ". ", "? ", "2*3", "-5", "snake_case"),
        *(
            "<https://a.b/c>",
            "<a@b.de>",
            " mailto:a@b.de?x=y ",
            " tel:+49 ",
            "[1]",
            "[A12]",
            "[a][1]",
            "[x]: https://a.b",
            "（笑）",
            "（",
            "）",
        ),
        *(
            "&amp;",
            "&",
            ";",
            "<y and z>",
            "x<",
            "</thought>",
            "<reasoning>",
            "[THINK]",
            "[/THINK]",
            "*lacht*",
            "\u200d",
            "İ",
            "【",
            "】",
            "【笑】",
            "【明日】",
            "［",
            "］",
            "〔1〕",
            "［happy］",
            "<tool_call>",
            "</tool_call>",
            "<function=a>",
            "<function=a{",
            "</function>",
            "<|python_tag|>",
            "<|eom_id|>",
            "[TOOL_CALLS]",
            "<|start|>",
            "<|channel|>",
            "final",
            "<|message|>",
            "<|end|>",
        ),
        *("https://www.example.com/x?y=1", "http", "w", "hi", "Rome", "is", "a@b.de", "über", "お願い。", "नमस्ते"),
    ]
)


def in_pieces(text: str, cuts: list[int], state: Speakable) -> str:
    said, at = "", 0
    for size in cuts:
        state, ready = state.fed(text[at : at + size])
        said, at = said + ready, at + size
    state, ready = state.fed(text[at:])
    return said + ready + state.ended()[1]


@given(st.lists(PIECES, max_size=25).map("".join), st.lists(st.integers(1, 9), max_size=40))
def test_the_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    assert in_pieces(text, cuts, Speakable(is_thinking=True)) == speakable(text)
    assert in_pieces(text, cuts, Speakable()) == in_pieces(text, [], Speakable())


@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_markup_is_left(text: str) -> None:
    said = speakable(text)
    assert not re.search(r"`|[【】〔〕［］]|😀|👍|\u200d|</?think>|<b|\*\*|https?://|&amp;", said)
    assert all(tag.strip("[]") in EMOTIONS for tag in re.findall(r"\[[^\]]*\]", said))
    assert "[" not in without_tags(said)


RUNS = st.sampled_from(["**", "***", " ", "\n", "Rome", "is", "1. ", "- ", "2", ".", "😀", "_", "`", "(laughs)", "[x]"])


@given(st.lists(RUNS, max_size=20).map("".join), st.lists(st.integers(1, 5), max_size=40))
def test_two_asterisks_or_more_are_never_said(text: str, cuts: list[int]) -> None:
    assert "*" not in speakable(text)
    assert "*" not in in_pieces(text, cuts, Speakable())


@given(st.text(alphabet=st.characters(categories=["L", "Nd"]), min_size=1))
def test_plain_words_stay(word: str) -> None:
    assert speakable(f"So {word}, then. Bye!") == f"So {word}, then. Bye!"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. **Rome** *sighs* 🙂 `x`", "1. Rome x"),
        ("[laughs warmly] Hi. [HAPPY] Hello.", "Hi. [happy] Hello."),
        ("<think>One. Two.\nThree!</think>\n\nYes.", "Yes."),
        ("<think>never closed. So what", ""),
        ("One.<break time='1s'/> Two <i>three</i>.", "One. Two three."),
        (
            "See [the menu](https://x.y/z_(a)) or https://www.example.com/a?b=c. Fine?",
            "See the menu or example.com. Fine?",
        ),
        ("# Cities\n- Rome\n- Paris\n\nThat is all.", "Cities.\nRome.\nParis.\nThat is all."),
        ("2*3 is 6, press * then #.", "2*3 is 6, press * then #."),
        ("snake_case and _so_ __bold__", "snake_case and so bold"),
        (
            "*laughs* Well, that is *really* good (chuckles) (open until five).",
            "Well, that is really good (open until five).",
        ),
        ("Guten Tag. *lacht* Das ist gut.", "Guten Tag. Das ist gut."),
        ("Here:\n```py\nx = 1. y\n```\nDone.", "Here:\nDone."),
        ("a < b and [open", "a < b and open"),
        ("It is -5 °C.\n-5 is cold.", "It is -5 °C.\n-5 is cold."),
        ("Hello 😀. Bye", "Hello. Bye"),
        ("See <https://example.com/path> for more.", "See example.com for more."),
        (
            "Write to <anna@example.com> or <mailto:jo@example.com?subject=x>.",
            "Write to anna@example.com or jo@example.com.",
        ),
        ("Write mailto:anna@example.com, call tel:+49301.", "Write anna@example.com, call +49301."),
        (
            "It is at ftp://files.example.com/pub and https://me:pw@example.com:80/x.",
            "It is at files.example.com and example.com.",
        ),
        ("请看https://example.com/a/b。然后继续说", "请看example.com。然后继续说"),
        (
            "Read the [manual][1] or the [list][].\n\n[1]: https://example.com/m\nBye.",
            "Read the manual or the list.\nBye.",
        ),
        ("Your seat is [A12], at [10:30], in [512].", "Your seat is A12, at 10:30, in 512."),
        ("Rome[1] is the capital [2].[^3] [laughs 2 times]", "Rome is the capital."),
        ("Press [1] for sales.", "Press 1 for sales."),
        ("[laughs][happy] Hi.", "[happy] Hi."),
        ("The album is called *Smile*.", "The album is called Smile."),
        (
            "Just *breathe*. *Smile* (Breathless) and (pause the music with it).",
            "Just breathe. (Breathless) and (pause the music with it).",
        ),
        ("x<y and z>w", "x<y and z>w"),
        ("a<b>c</b> and one<br/>two", "ac and one two"),
        ("Gut (lacht leise). Hallo *lacht* du (seufzend).", "Gut. Hallo du."),
        ("Vale (se ríe). Oui *sourit*, sim (risos), sì (ride).", "Vale. Oui, sim, sì."),
        ("好的（微笑）。はい（笑）。जी (मुस्कुराते हुए)।", "好的。はい。जी।"),
        ("The Spanish word (risa) means laughter.", "The Spanish word (risa) means laughter."),
        ("The verb (ri) or the noun (ride) is short.", "The verb (ri) or the noun (ride) is short."),
        ("The state (thinking) lasts.", "The state (thinking) lasts."),
        ("The sea (waves) is rough (waves up to two meters).", "The sea (waves) is rough (waves up to two meters)."),
        ("Yes (pauses included), it is.", "Yes (pauses included), it is."),
        ("Her (Smile) and (thinking about it).", "Her (Smile) and (thinking about it)."),
        ("Well (chuckles) no (sigh). Hm (pause) — yes (smile)", "Well no. Hm — yes"),
        ("Well (sigh) I guess, (soft laugh) yes.", "Well I guess, yes."),
        ("So sad (sigh) [sad] it is.", "So sad [sad] it is."),
        ("(waves at you) Hi. (Sigh) Bye (laughs softly).", "Hi. Bye."),
        ("Open （until five） today.", "Open （until five） today."),
        ("The family 👨\u200d👩\u200d👧 and क्\u200dया.", "The family and क्\u200dया."),
        ("Tom &amp; Jerry&nbsp;&#39;s, AT&T; R&D", "Tom & Jerry 's, AT&T; R&D"),
        ("<thought>No.</thought>Yes. <reasoning>Hm.</reasoning>[THINK]Oh.[/THINK]", "Yes."),
        ("Okay, the user asks for Rome.</think>Rome is nice.", "Rome is nice."),
        ("Rome. <think>Is it?</think> It is.", "Rome. It is."),
        ("【微笑】你好。【笑】はい。〔叹气〕好的。［咳］ええ。", "你好。はい。好的。ええ。"),
        ("【優しい声で】はい。（小声で）どうぞ。【温柔地】好。(笑）ね。", "はい。どうぞ。好。ね。"),
        ("ご予約は【明日】の【A12】です。【重要】お休みです。", "ご予約は明日のA12です。重要 お休みです。"),
        ("【happy】はい。［ SAD ］ええ。", "[happy]はい。[sad]ええ。"),
        ("它是首都【4:0†source.pdf】。是的【2】。［备注］好。〔注〕512", "它是首都。是的。好。512"),
        ("【まだ", "まだ"),
        ("<think>İstanbul… İzmir</think>Merhaba", "Merhaba"),
        ("<THINK>ẞ ﬃ İ</Think>Merhaba", "Merhaba"),
        ("***", ""),
        ("😀", ""),
        ("\u200b", ""),
    ],
)
def test_what_is_said(text: str, said: str) -> None:
    assert speakable(text) == said


CALLS = [
    '<tool_call>{"name": "book", "arguments": {"a": "<b>"}}</tool_call>',
    "<tool_call>\n<function=book>\n<parameter=a>\nRome\n</parameter>\n</function>\n</tool_call>",
    '<minimax:tool_call><invoke name="book"><parameter name="a">1</parameter></invoke></minimax:tool_call>',
    '<function_call>{"name": "book"}</function_call>',
    '<FUNCTION_CALLS>[{"name": "book"}]</function_calls>',
    '<function=book>{"a": 1}</function>',
    '<function=book{"a": 1}</function>',
    '<function(book)>{"a": 1}</function>',
    '<function=book>{"a": 1}<function>',
    '<function name="book">{"a": 1}</function>',
    '<invoke name="book">1</invoke>',
    '<|python_tag|>book.call(a="Rome")<|eom_id|>',
    '<|tool_call|>[{"name": "book"}]<|/tool_call|>',
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>book {"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    '<|tool_calls_section_begin|><|tool_call_begin|>book:0 {"a": 1}<|tool_call_end|><|tool_calls_section_end|>',
    "<start_function_call>call:book{a:1}<end_function_call>",
    '<|START_ACTION|>[{"tool_name": "book"}]<|END_ACTION|>',
    "<tool_code>print(book(1))</tool_code>",
    '<|channel|>commentary to=functions.book <|constrain|>json<|message|>{"a": 1}<|call|>',
    "<|channel|>analysis<|message|>They ask for Rome.<|end|><|start|>assistant<|channel|>final<|message|>",
]


@pytest.mark.parametrize("call", CALLS)
def test_a_tools_call_that_the_model_writes_as_text_is_not_said_and_is_no_answer(call: str) -> None:
    assert speakable(f"One moment. {call} It is booked.") == "One moment. It is booked."
    assert not Speakable().fed(call)[0].ended()[0].had_text
    for size in (1, 3, 7):
        assert in_pieces(f"Yes. {call}No.", [size] * 200, Speakable()) == "Yes. No."


@pytest.mark.parametrize(
    "call", [*CALLS, '[TOOL_CALLS] [{"name": "book", "arguments": {}}]', '[TOOL_CALLS]book{"a": 1}']
)
def test_a_tools_call_that_does_not_end_is_not_said(call: str) -> None:
    opened = re.sub(r"(?<!^)<[^<]*>$", "", call)
    assert speakable(f"One moment. {opened}") == "One moment."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A function (of x) and the <b>tool</b> call it.", "A function (of x) and the tool call it."),
        ("Say <function or [TOOL] now.", "Say <function or now."),
    ],
)
def test_a_word_of_a_tools_call_is_none(text: str, said: str) -> None:
    assert speakable(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I can *quietly* say that.", "I can quietly say that."),
        ("Sure *in a warm voice* we can.", "Sure in a warm voice we can."),
        ("That is *so* much *better than before*.", "That is so much better than before."),
        ("He said *no*, *never*, *ever*.", "He said no, never, ever."),
        ("I was *laughing* so hard.", "I was laughing so hard."),
        ("Keep *smiling*, and stop *crying*.", "Keep smiling, and stop crying."),
        ("I was *thinking* about it.", "I was thinking about it."),
        ("Sie sagte *lachend* ja.", "Sie sagte lachend ja."),
        ("Estoy *riendo* mucho.", "Estoy riendo mucho."),
        ("Sure, *smiling* we can.", "Sure, we can."),
        ("Well — *softly laughing* — yes.", "Well — — yes."),
        ("Well *sigh* I guess.", "Well I guess."),
        ("So *laughs at her own joke* that is it.", "So that is it."),
        ("Oui *rit* bien sûr.", "Oui bien sûr."),
        ("The sea has *waves* today.", "The sea has waves today."),
        ("The button *pauses the music* at once.", "The button pauses the music at once."),
        ("Hey *waves happily* there.", "Hey there."),
        ("他*笑*了。*笑* 好的。", "他笑了。 好的。"),
        ("I read *The Sea* and *Les Misérables*.", "I read The Sea and Les Misérables."),
        ("3 * 4 * 5 is 60, and 2*3*4 is 24.", "3 * 4 * 5 is 60, and 2*3*4 is 24."),
        ("Prices* may vary.\n*terms apply", "Prices may vary.\nterms apply"),
        ("A 4* or 5* hotel.", "A 4 or 5 hotel."),
        ("**Rome ** is nice. Hi ** there, 2**3.", "Rome is nice. Hi there, 2 3."),
        ("2**2**", "2 2"),
        ("2*3*4", "2*3*4"),
        ("1. **Rome** **\n2. Paris ***", "1. Rome.\n2. Paris"),
        ("**Note:** this is ***very*** important.", "Note: this is very important."),
        ("It is **bold *and nested* text**.", "It is bold and nested text."),
        ("Here you are.\n- **email**: write us\n- **pause** it", "Here you are.\nemail: write us.\npause it"),
        ("1. **open** the app\n2. *click* here", "1. open the app.\n2. click here"),
        ("- *open* the app\n- *laughs* Bye", "open the app.\nBye"),
        ("**sighs** I see. **quietly** Yes.", "I see. quietly Yes."),
        ("Hi. *leans in* So? *quietly* I can.", "Hi. So? I can."),
        ("_laughs_ I see, _sighs_ well, _Smile_ and _so_ on_.", "I see, well, Smile and so on."),
        (
            "Use `snake_case` and _this_ or __that__, not my_file.py.",
            "Use snake_case and this or that, not my_file.py.",
        ),
    ],
)
def test_emphasis_keeps_its_words_and_a_direction_is_taken_out(text: str, said: str) -> None:
    assert speakable(text) == said


@pytest.mark.parametrize("text", ["…", "—", "***", "😀", "[happy]", "?!", "\u200b", ""])
def test_nothing_to_say(text: str) -> None:
    assert not has_words(speakable(text))


def test_thoughts_are_no_answer_and_a_smiley_is_one() -> None:
    assert not Speakable().fed("<think>Hm.</think> \n")[0].had_text
    assert Speakable().fed("😀")[0].had_text
    assert Speakable().fed("[sighs]")[0].ended()[0].had_text


def test_thoughts_that_nothing_opens_are_held_until_they_end() -> None:
    state, said = Speakable(is_thinking=True).fed("Okay, the user asks for Rome. Hm.</thi")
    assert (said, state.had_text) == ("", False)
    state, said = state.fed("nk>\n\nRome is")
    assert (said, state.is_bare, state.had_text) == ("Rome is", True, True)
    assert not Speakable(is_thinking=True).fed("<think>Hm.</think>Rome")[0].is_bare


def test_an_answer_that_was_held_in_vain_is_said_unless_it_was_cut() -> None:
    held, said = Speakable(is_thinking=True).fed("Rome is **nice**.")
    assert said == ""
    assert held.ended()[1] == "Rome is nice."
    assert held.ended(is_cut=True)[1] == ""
    assert held.without_thoughts().fed(" Yes.")[1] == "Rome is nice. Yes."


def test_ordinary_answers_are_not_held() -> None:
    assert Speakable().fed("Rome is nice")[1] == "Rome is nice"


def test_each_voice_model_gets_its_dialect() -> None:
    text = "Well [happy] hello [sad] there."
    assert without_tags(text) == "Well hello there."
    assert tag_for("inworld-tts-1.5-max", text) == "[happy] "
    assert tag_for("inworld-tts-2", text) == "[say happily] "
    assert tag_for("inworld-tts-2", "Hello.") == ""
