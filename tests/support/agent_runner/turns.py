"""What decides the caller's turns beside our own code, as far as a test does not need it: a model and a voice."""

from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState


class Finished(BaseTurnAnalyzer):
    """Takes every turn for complete."""

    @property
    def speech_triggered(self) -> bool:
        return False

    @property
    def params(self) -> BaseTurnParams:
        return BaseTurnParams()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, None]:
        return EndOfTurnState.COMPLETE, None

    def clear(self) -> None: ...


class Unpaused:
    """The agent's audio, where nothing makes a sound long enough to pause it."""

    def pause(self) -> None: ...

    async def resume(self) -> None: ...
