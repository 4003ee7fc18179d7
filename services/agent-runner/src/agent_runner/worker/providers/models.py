"""The two local models, both from Pipecat: Silero VAD detects speech, smart-turn v3 the end of the caller's turn."""

# pyright: standard

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import numpy as np
import onnxruntime
from pipecat.audio.turn.base_turn_analyzer import EndOfTurnState
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState
from pipecat.metrics.metrics import MetricsData

from agent_runner.agent_config import AgentConfig

_RATE: Final = 16_000
# Share of `min_volume` from which the smoothed volume rises. From digital silence a voice would pass it 0.13 s later.
_QUIET_ROOM: Final = 0.75
_RECALLED: Final = 16  # windows, half a second; Pipecat's smoothed volume follows a voice within half of that


class Vad(SileroVADAnalyzer):
    """Silero VAD in the event loop; the model runs only for windows that are loud enough to be speech.

    Waking a thread for each window costs more than the model's own 0.1 ms. The model needs 0.1 ms while it stays in the
    CPU's caches, and 0.9 ms when it runs once every 32 ms. Pipecat counts a quiet window as silence whatever the model
    says, so we store the last quiet windows and show them to the model before the next loud one (docs/decisions/0010).

    Attributes:
        loud_at: Monotonic time of the last window that was not quiet, speech or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._volume = 0.0
        self._is_ended = False
        self._quiet: deque[bytes] = deque(maxlen=_RECALLED)
        self.loud_at = 0.0

    async def analyze_audio(self, buffer: bytes) -> VADState:
        state = self._run_analyzer(buffer)
        if self._is_ended:
            self._is_ended = False
            self.set_params(self._params)
            return VADState.QUIET
        return state

    def voice_confidence(self, buffer: bytes) -> float:
        """Silero's confidence that a window is speech; 0 for a quiet one."""
        self._prev_volume = max(self._prev_volume, _QUIET_ROOM * self._params.min_volume)
        self._volume = super()._get_smoothed_volume(buffer)
        if self._volume < self._params.min_volume:
            self._quiet.append(buffer)
            return 0.0
        self.loud_at = time.monotonic()
        if len(self._quiet) == _RECALLED:  # the model missed the windows before these
            self._model.reset_states()
            self._windows_since_reset = 0
        for window in self._quiet:
            super().voice_confidence(window)
        self._quiet.clear()
        return super().voice_confidence(buffer)

    def _get_smoothed_volume(self, audio: bytes) -> float:
        """The volume of the window that `voice_confidence` just measured; Pipecat asks for it afterwards."""
        return self._volume

    def end_speech(self) -> None:
        """Report the end of speech with the next audio; speech that goes on begins again after `start_secs`."""
        self._is_ended = True

    def warm_up(self) -> None:
        self.set_sample_rate(_RATE)
        super().voice_confidence(bytes(2 * self.num_frames_required()))


class _Thrifty:
    """A session that shrinks its arena after each run: 17 MB less, for 6 ms of CPU time.

    Running without an arena would cost 26 ms, in page faults.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, outputs: list[str] | None, inputs: dict[str, Any]) -> Any:
        return self._session.run(outputs, inputs, self._options)


class SmartTurn(LocalSmartTurnAnalyzerV3):
    """smart-turn, loaded before its thresholds are known; it releases its memory after each turn.

    Audio that comes while it decides belongs to what follows.
    """

    def __init__(self) -> None:
        super().__init__()
        self._session = cast(onnxruntime.InferenceSession, _Thrifty(self._session))

    def tune(self, params: SmartTurnParams) -> None:
        """Set the thresholds. Call it before the first audio."""
        self._params = params
        self._stop_ms = params.stop_secs * 1000

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        buffer, size = self._audio_buffer, len(self._audio_buffer)
        loop = asyncio.get_running_loop()
        state, metrics = await loop.run_in_executor(self._model_executor, self._process_speech_segment, buffer[:])
        if state == EndOfTurnState.COMPLETE:
            since = buffer[size:] if self._audio_buffer is buffer else self._audio_buffer
            self._clear(state)
            self._audio_buffer = since
        return state, metrics

    def warm_up(self) -> None:
        self._predict_endpoint(np.zeros(_RATE, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Models:
    """The models of this process. They hold state: use them for one conversation at a time."""

    vad: Vad
    smart_turn: SmartTurn


@cache
def load() -> Models:
    """Load both and run each once, so that the first call waits for neither."""
    models = Models(Vad(), SmartTurn())  # without a rate, which could not be changed afterwards
    models.vad.warm_up()
    models.smart_turn.warm_up()
    return models


def tuned(config: AgentConfig) -> Models:
    """The loaded models with this configuration's rate and thresholds; the sessions do not depend on them."""
    models = load()
    models.vad.set_sample_rate(config.stt_sample_rate)
    models.vad.set_params(
        VADParams(
            confidence=config.vad_confidence,
            start_secs=config.vad_start_secs,
            stop_secs=config.vad_stop_secs,
            min_volume=config.vad_min_volume,
        )
    )
    models.smart_turn.set_sample_rate(config.stt_sample_rate)
    models.smart_turn.tune(SmartTurnParams(stop_secs=config.smart_turn_stop_secs))
    return models
