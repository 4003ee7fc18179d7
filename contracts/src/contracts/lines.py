"""What the agent says by itself, in each language: one table for the gateway, the scheduler and the agents."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from contracts.languages import base, lookup


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of one language.

    Attributes:
        opening: The default opening line; `{name}` stands for the user's name.
        bridge: A new agent took the call over.
        bridge_to_answer: The same, before the answer to a question that the agent before left open.
        sorry: The agent did not hear the caller's words, or has no answer to them.
        broke_off: The agent's answer broke off.
        idle_prompt: To a caller who is silent.
        idle_goodbye: Before the end of a call whose caller stays silent.
        credit_warning: Before the session's limit of minutes.
        tool_filler: While a tool takes long.
        goodbye: The agent ends the call, and the model gave no words for it.
        timeout_goodbye: At SESSION_TIMEOUT.
        apology: The last words after a failure.
    """

    opening: str
    bridge: str
    bridge_to_answer: str
    sorry: str
    broke_off: str
    idle_prompt: str
    idle_goodbye: str
    credit_warning: str
    tool_filler: str
    goodbye: str
    timeout_goodbye: str
    apology: str


LineName = Literal[
    "opening",
    "bridge",
    "bridge_to_answer",
    "sorry",
    "broke_off",
    "idle_prompt",
    "idle_goodbye",
    "credit_warning",
    "tool_filler",
    "goodbye",
    "timeout_goodbye",
    "apology",
]
"""The fields of `Lines`."""

_ENGLISH: Final = Lines(
    opening="Hi {name}, how can I help you today?",
    bridge="Sorry, I lost you for a moment. Please go on.",
    bridge_to_answer="Sorry, I lost you for a moment.",
    sorry="Sorry, I didn't get that. Could you say it again?",
    broke_off="Sorry, I lost my train of thought. Could you ask me again?",
    idle_prompt="Are you still there?",
    idle_goodbye="I can't hear you, so I will end this call now. Goodbye.",
    credit_warning="Just so you know, our time is almost up: this call ends in less than half a minute.",
    tool_filler="One moment, please.",
    goodbye="Thank you for calling. Goodbye.",
    timeout_goodbye="I'm sorry, our time is up, so I have to go. Goodbye.",
    apology="I'm sorry, I have a technical problem and must go. Goodbye.",
)

TABLE: Final[Mapping[str, Lines]] = MappingProxyType(
    {
        "en": _ENGLISH,
        "de": Lines(
            opening="Hallo {name}, wie kann ich Ihnen helfen?",
            bridge="Entschuldigung, die Verbindung war kurz weg. Bitte sprechen Sie weiter.",
            bridge_to_answer="Entschuldigung, die Verbindung war kurz weg.",
            sorry="Entschuldigung, das habe ich nicht verstanden. Können Sie das noch einmal sagen?",
            broke_off="Entschuldigung, ich habe den Faden verloren. Können Sie noch einmal fragen?",
            idle_prompt="Sind Sie noch da?",
            idle_goodbye="Ich höre Sie nicht, deshalb beende ich jetzt das Gespräch. Auf Wiederhören.",
            credit_warning="Nur zur Information: Unsere Zeit ist gleich um, in weniger als einer halben Minute.",
            tool_filler="Einen Moment, bitte.",
            goodbye="Vielen Dank für Ihren Anruf. Auf Wiederhören.",
            timeout_goodbye="Es tut mir leid, unsere Zeit ist um. Auf Wiederhören.",
            apology="Entschuldigung, wegen einer Störung muss ich auflegen. Auf Wiederhören.",
        ),
        "es": Lines(
            opening="Hola, {name}. ¿En qué puedo ayudarle hoy?",
            bridge="Disculpe, se ha cortado un momento. Continúe, por favor.",
            bridge_to_answer="Disculpe, se ha cortado un momento.",
            sorry="Perdone, no le he entendido. ¿Puede repetirlo?",
            broke_off="Perdone, he perdido el hilo. ¿Puede preguntármelo otra vez?",
            idle_prompt="¿Sigue ahí?",
            idle_goodbye="No le oigo, así que voy a terminar la llamada. Adiós.",
            credit_warning="Le aviso de que se nos acaba el tiempo: la llamada termina en menos de medio minuto.",
            tool_filler="Un momento, por favor.",
            goodbye="Gracias por llamar. Adiós.",
            timeout_goodbye="Lo siento, se nos ha acabado el tiempo. Adiós.",
            apology="Lo siento, tengo un problema técnico y debo colgar. Adiós.",
        ),
        "fr": Lines(
            opening="Bonjour {name}, comment puis-je vous aider ?",
            bridge="Excusez-moi, la ligne a coupé un instant. Continuez, je vous en prie.",
            bridge_to_answer="Excusez-moi, la ligne a coupé un instant.",
            sorry="Excusez-moi, je n'ai pas compris. Pouvez-vous répéter ?",
            broke_off="Excusez-moi, j'ai perdu le fil. Pouvez-vous me reposer la question ?",
            idle_prompt="Vous êtes toujours là ?",
            idle_goodbye="Je ne vous entends pas, je vais donc mettre fin à l'appel. Au revoir.",
            credit_warning="Je vous préviens, l'appel se termine dans moins d'une demi-minute.",
            tool_filler="Un instant, s'il vous plaît.",
            goodbye="Merci de votre appel. Au revoir.",
            timeout_goodbye="Toutes mes excuses, notre temps est écoulé. Au revoir.",
            apology="Pardon, un problème technique m'oblige à raccrocher. Au revoir.",
        ),
        "pt": Lines(
            opening="Olá, {name}. Como posso ajudar?",
            bridge="Desculpe, a ligação caiu por um momento. Pode continuar.",
            bridge_to_answer="Desculpe, a ligação caiu por um momento.",
            sorry="Desculpe, não entendi. Pode repetir, por favor?",
            broke_off="Desculpe, perdi o raciocínio. Pode perguntar de novo?",
            idle_prompt="Ainda está aí?",
            idle_goodbye="Não consigo ouvir você, por isso vou encerrar a chamada. Até logo.",
            credit_warning="Só para avisar, o nosso tempo está acabando: a chamada termina em menos de meio minuto.",
            tool_filler="Um momento, por favor.",
            goodbye="Agradeço a sua ligação. Até logo.",
            timeout_goodbye="Sinto muito, o nosso tempo acabou. Até logo.",
            apology="Sinto muito, estou com um problema técnico e preciso desligar. Até logo.",
        ),
        "it": Lines(
            opening="Salve {name}, come posso aiutarla?",
            bridge="Mi scusi, la linea è caduta un momento. Continui pure.",
            bridge_to_answer="Mi scusi, la linea è caduta un momento.",
            sorry="Mi scusi, non ho capito. Può ripetere?",
            broke_off="Mi scusi, ho perso il filo. Può ripetere la domanda?",
            idle_prompt="È ancora in linea?",
            idle_goodbye="Non la sento, quindi chiudo la chiamata. Arrivederci.",
            credit_warning="La avviso che il tempo sta per finire: la chiamata termina tra meno di mezzo minuto.",
            tool_filler="Un momento, per favore.",
            goodbye="Grazie per la chiamata. Arrivederci.",
            timeout_goodbye="Mi dispiace, il tempo è finito. Arrivederci.",
            apology="Mi dispiace, ho un problema tecnico e devo chiudere. Arrivederci.",
        ),
        "hi": Lines(
            opening="नमस्ते {name}, मैं आपकी क्या मदद करूँ?",
            bridge="माफ़ कीजिए, एक पल के लिए आवाज़ चली गई थी। कृपया आगे कहिए।",
            bridge_to_answer="माफ़ कीजिए, एक पल के लिए आवाज़ चली गई थी।",
            sorry="माफ़ कीजिए, मुझे समझ नहीं आया। क्या आप फिर से कहेंगे?",
            broke_off="माफ़ कीजिए, मेरी बात बीच में रुक गई। क्या आप फिर से पूछेंगे?",
            idle_prompt="क्या आप अभी भी लाइन पर हैं?",
            idle_goodbye="मुझे आपकी आवाज़ नहीं आ रही, इसलिए अब यह कॉल समाप्त होती है। नमस्ते।",
            credit_warning="कृपया ध्यान दें, हमारा समय समाप्त होने वाला है: यह कॉल आधे मिनट से पहले बंद हो जाएगी।",
            tool_filler="एक पल रुकिए।",
            goodbye="कॉल करने के लिए धन्यवाद। नमस्ते।",
            timeout_goodbye="माफ़ कीजिए, हमारा समय समाप्त हो गया है। नमस्ते।",
            apology="माफ़ कीजिए, एक तकनीकी समस्या के कारण यह कॉल बंद हो रही है। नमस्ते।",
        ),
        "ja": Lines(
            opening="{name}さん、こんにちは。ご用件をお聞かせください。",
            bridge="失礼しました。一瞬、音声が途切れました。続きをどうぞ。",
            bridge_to_answer="失礼しました。一瞬、音声が途切れました。",
            sorry="すみません、聞き取れませんでした。もう一度おっしゃっていただけますか？",
            broke_off="すみません、話が途切れてしまいました。もう一度お聞きいただけますか？",
            idle_prompt="まだいらっしゃいますか？",
            idle_goodbye="お声が聞こえないため、通話を終了いたします。失礼いたします。",
            credit_warning="お知らせいたします。まもなくお時間です。通話はあと三十秒以内に終了します。",
            tool_filler="少々お待ちください。",
            goodbye="お電話ありがとうございました。失礼いたします。",
            timeout_goodbye="お時間になりましたので、失礼いたします。",
            apology="申し訳ありません、技術的な問題で終了いたします。",
        ),
        "zh": Lines(
            opening="{name}，您好！请问有什么可以帮您？",
            bridge="抱歉，刚才信号断了一下。请继续说。",
            bridge_to_answer="抱歉，刚才信号断了一下。",
            sorry="抱歉，我没听清。您能再说一遍吗？",
            broke_off="抱歉，我的回答中断了。您能再问一次吗？",
            idle_prompt="您还在吗？",
            idle_goodbye="我听不到您的声音，现在要结束通话了。再见。",
            credit_warning="提醒您一下，我们的时间快到了，通话将在半分钟内结束。",
            tool_filler="请稍等。",
            goodbye="感谢您的来电。再见。",
            timeout_goodbye="抱歉，我们的时间到了。再见。",
            apology="抱歉，出现了技术问题，我得挂断了。再见。",
        ),
    }
)
"""The key is a language without script and region."""

Replaced = Mapping[str, Mapping[LineName, str]]
"""Lines by language and name that replace the table's, as the setting LINES has them."""


def sayable(line: str) -> str:
    """The line.

    Raises:
        ValueError: A line such as "…" or "***", of which the caller would hear nothing.
    """
    if not any(character.isalnum() for character in line):
        raise ValueError("it has no letter and no digit, so there is nothing to say")
    return line


def lines_in(language: str | None, replaced: Replaced = MappingProxyType({})) -> Lines:
    """The lines of a language: as `lookup` finds them, and English for a language without a line.

    Where only `bridge` is replaced, it stands for `bridge_to_answer`, too.
    """
    named: dict[LineName, str] = {}
    for tag in reversed(lookup(language or "en")):
        named |= replaced.get(tag, {})
    if "bridge" in named:
        named = {"bridge_to_answer": named["bridge"], **named}
    return replace(TABLE.get(base(language or "en"), _ENGLISH), **named)
