"""WebRTC's noise suppression, which the LiveKit SDK brings, for the caller's audio."""

# pyright: standard

from livekit import rtc


class NoiseFilter:
    """Takes steady noise (a fan, a car, a street) out of one stream, which comes 10 ms later.

    WebRTC takes pieces of 10 ms, the pipeline's frames have one window of the VAD.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._piece = 2 * rate // 100
        self._apm = rtc.AudioProcessingModule(noise_suppression=True, high_pass_filter=True)
        self._taken = bytearray()
        self._filtered = bytearray(self._piece)

    def filtered(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        """As many samples, mono, as came; the noise estimate takes about a second."""
        self._taken += bytes(frame.data)
        while len(self._taken) >= self._piece:
            piece = rtc.AudioFrame(self._taken[: self._piece], self._rate, 1, self._piece // 2)
            self._apm.process_stream(piece)
            self._filtered += bytes(piece.data)
            del self._taken[: self._piece]
        size = 2 * frame.samples_per_channel
        out = bytes(self._filtered[:size])
        del self._filtered[:size]
        return rtc.AudioFrame(out, self._rate, 1, size // 2)
