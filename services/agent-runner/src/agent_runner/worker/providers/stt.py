"""AssemblyAI through Pipecat's service. It connects only in a call: AssemblyAI charges for open sessions."""

# pyright: standard

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Self

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.assemblyai.stt import AssemblyAISTTService

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.hearing import Deaf
from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers import tls
from agent_runner.worker.providers.failover import Failover
from agent_runner.worker.providers.spoken_language import for_assembly

_PING_S: Final = 5.0  # websockets' own 20 leave the agent deaf for 40
_CONNECT_S: Final = 3.0  # websockets' own limit is 10
_BACKOFF_S: Final = (0.5, 2.0)  # Pipecat's own 4 to 10 s between reconnects leave the agent deaf
_MEBIBYTE: Final = 1 << 20


class SpeechToText(Failover, AssemblyAISTTService):
    """AssemblyAI; `arm` connects it.

    Attributes:
        on_session: Called when a session is open.
        on_message: Called with each message of the session, of whatever kind.
    """

    _armed = False
    on_session: Callable[[], None]
    on_message: Callable[[], None]

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        first, *spare = config.stt_endpoints
        service = cls(
            api_key=first.key,
            api_endpoint_base_url=first.url,
            sample_rate=config.stt_sample_rate,
            encoding=config.stt_encoding,
            settings=cls.Settings(
                model=config.stt_model,
                vad_threshold=config.stt_vad_threshold,
                end_of_turn_confidence_threshold=config.stt_end_of_turn_confidence_threshold,
                min_turn_silence=config.stt_min_turn_silence,
                max_turn_silence=config.stt_max_turn_silence,
                format_turns=config.stt_format_turns,
                formatted_finals=config.stt_formatted_finals,
                word_finalization_max_wait_time=config.stt_word_finalization_max_wait_time,
                keyterms_prompt=list(config.stt_keyterms_prompt) or None,
                language_detection=config.stt_language_detection,
                voice_focus=config.stt_voice_focus,
                voice_focus_threshold=config.stt_voice_focus_threshold,
            ),
            reconnect_backoff_min_wait=_BACKOFF_S[0],
            reconnect_backoff_max_wait=_BACKOFF_S[1],
        )
        service._spare = deque(spare)
        if config.stt_min_turn_silence is not None:  # Pipecat replaces it on universal-streaming models
            service._settings.min_turn_silence = config.stt_min_turn_silence
        return service

    def _move_to(self, endpoint: Endpoint) -> None:
        self._api_key, self._api_endpoint_base_url = endpoint.key, endpoint.url

    async def arm(self, agent_context: str | None, language: str | None) -> None:
        """Connect now.

        Args:
            language: The caller's, as a BCP 47 tag; None: AssemblyAI detects it.
            agent_context: The agent's last words, which help AssemblyAI to understand the caller's answer.
        """
        self._settings.agent_context = agent_context
        self._settings.language_codes = for_assembly(language)
        self._armed = True
        began = time.monotonic()
        await self._connect()
        if self._websocket is None:
            self.on_fault(time.monotonic() - began)

    async def replace_session(self, deaf: Deaf) -> None:
        """Replace a deaf session by a new one: at the next endpoint, if there is one and the session is proven deaf.

        Attempts go to each endpoint in turn: they prove nothing against the one that they leave. After too many deaf
        sessions in a row, without another endpoint, the service becomes unusable.
        """
        if deaf.is_proven and (deaf.is_hopeless or self._spare):
            await self.push_error("the session sent nothing", force_treat_as_permanent=True)
        elif deaf.moves and self._spare:
            self._spare.append(Endpoint(self._api_endpoint_base_url, self._api_key))
            self._move_to(self._spare.popleft())
        if self.is_usable:
            self._abort_connection()

    async def ask_for_words(self) -> None:
        """Ask for the words so far, as Pipecat does at each pause of the caller."""
        await self._send_if_open({"type": "ForceEndpoint"})

    async def _disconnect(self) -> None:
        """Replace Pipecat's, which waits 5 s for AssemblyAI's goodbye and delays all later frames."""
        await self.close_session()

    async def close_session(self) -> None:
        """End the session at AssemblyAI, which charges until then, without waiting for its goodbye."""
        self._armed = False
        self._disconnecting = True  # stops Pipecat from reconnecting
        if self._receive_task is not None:
            self._receive_task.cancel()
        await self._send_if_open({"type": "Terminate"})

    async def _connect(self) -> None:
        if self._armed:
            await super()._connect()

    async def _websocket_connect(self, uri: str, **options: Any) -> Any:
        alive = {"ping_interval": _PING_S, "ping_timeout": _PING_S}  # an unanswered ping closes the connection
        options = {"open_timeout": _CONNECT_S, **alive, **tls.options(uri), **options}
        socket = await super()._websocket_connect(uri, **options)
        self.on_session()
        return socket

    async def _handle_message(self, message: dict[str, Any]) -> None:
        self.on_message()
        await super()._handle_message(message)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Push a frame. A final transcript survives the interruption that the partial one before it brings about."""
        if isinstance(frame, TranscriptionFrame):
            frame.interruptible = False
        await super().push_frame(frame, direction)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send audio; without a connection buffer only the last half minute (Pipecat would buffer all)."""
        overflow = len(self._audio_buffer) - _MEBIBYTE  # 1 MiB is half a minute at 16 kHz
        if overflow > 0:
            del self._audio_buffer[:overflow]
        async for frame in super().run_stt(audio):
            yield frame
