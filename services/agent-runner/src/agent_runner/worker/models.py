"""The two local models: is this speech (Silero VAD), and is the caller done (smart-turn v3). Both come with Pipecat."""

# pyright: standard

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import numpy as np
import onnxruntime
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from agent_runner.agent_config import AgentConfig

_RATE: Final = 16_000
_VAD_WINDOW: Final = 512  # samples at 16 kHz
_QUIET_ROOM: Final = (
    0.75  # of the volume that counts. From digital silence a voice would count 0.13 s later than from it
)
_RECALLED: Final = 16  # windows, half a second; Pipecat's volume takes up to half of that to follow a voice


class Vad(SileroVADAnalyzer):
    """Silero VAD in the event loop, run for what is loud enough to be taken for speech.

    A thread's waking for each frame took more than the model's 0.1 ms. It takes so little as long as it stays in the
    processor's caches, and 0.9 once every 32 ms. A quieter window counts as silence whatever the model says of it, so
    it is kept until a loud one comes, and only the last of them are then shown to the model.
    """

    def __init__(self, *, sample_rate: int) -> None:
        super().__init__(sample_rate=sample_rate)
        self._volume = 0.0
        self._quiet: deque[bytes] = deque(maxlen=_RECALLED)

    async def analyze_audio(self, buffer: bytes) -> VADState:
        return self._run_analyzer(buffer)

    def voice_confidence(self, buffer: bytes) -> float:
        """Silero's confidence that a window is speech; 0 for one that is too quiet to count."""
        self._prev_volume = max(self._prev_volume, _QUIET_ROOM * self._params.min_volume)
        self._volume = super()._get_smoothed_volume(buffer)
        if self._volume < self._params.min_volume:
            self._quiet.append(buffer)
            return 0.0
        if len(self._quiet) == _RECALLED:  # the model has not heard what came before them
            self._model.reset_states()
            self._windows_since_reset = 0
        for window in self._quiet:
            super().voice_confidence(window)
        self._quiet.clear()
        return super().voice_confidence(buffer)

    def _get_smoothed_volume(self, audio: bytes) -> float:
        """Pipecat asks for it after the confidence."""
        return self._volume

    def warm_up(self) -> None:
        """Run the model once."""
        super().voice_confidence(bytes(2 * _VAD_WINDOW))


class _Thrifty:
    """A session that gives back after each run what its arena took: 17 MB, for 6 ms of processor time.

    Without an arena the same costs 26 ms, in page faults.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, outputs: list[str] | None, inputs: dict[str, Any]) -> Any:
        return self._session.run(outputs, inputs, self._options)


class SmartTurn(LocalSmartTurnAnalyzerV3):
    """smart-turn, loaded before its thresholds are known, which keeps no memory between two turns."""

    def __init__(self, *, sample_rate: int) -> None:
        super().__init__(sample_rate=sample_rate)
        self._session = cast(onnxruntime.InferenceSession, _Thrifty(self._session))

    def tune(self, params: SmartTurnParams) -> None:
        """Take other thresholds; nothing has been heard yet."""
        self._params = params
        self._stop_ms = params.stop_secs * 1000

    def warm_up(self) -> None:
        """Run the model once."""
        self._predict_endpoint(np.zeros(_RATE, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Models:
    """The process's models; one conversation at a time may use them."""

    vad: Vad
    smart_turn: SmartTurn


@cache
def load() -> Models:
    """Load both once and run each once, so that the first call pays for neither."""
    models = Models(Vad(sample_rate=_RATE), SmartTurn(sample_rate=_RATE))
    models.vad.set_sample_rate(_RATE)
    models.vad.warm_up()
    models.smart_turn.warm_up()
    return models


def tuned(config: AgentConfig) -> Models:
    """The models with this configuration's thresholds. Their sessions do not depend on them, so loading came before."""
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
    models.smart_turn.tune(SmartTurnParams(stop_secs=config.smart_turn_stop_secs))
    return models
