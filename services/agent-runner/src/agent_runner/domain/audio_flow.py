"""How much speech the voice made, and how much of it went out to the room."""


class AudioFlow:
    """Counts bytes of speech. `made_bytes` above `sent_bytes` is speech that waits, or that something holds back."""

    def __init__(self) -> None:
        self.made_bytes = 0
        self.sent_bytes = 0
        self._sent_before = 0

    def made(self, size: int) -> None:
        """The voice made so many bytes."""
        self.made_bytes += size

    def sent(self, size: int) -> None:
        """The output wrote so many bytes."""
        self.sent_bytes += size

    def interrupted(self) -> None:
        """The output discarded what it had not sent."""
        self.made_bytes = self.sent_bytes

    def began(self) -> None:
        """The agent began to speak."""
        self._sent_before = self.sent_bytes

    def ended(self) -> None:
        """The agent stopped speaking: if a part was sent, the pipeline discarded the rest."""
        if self.sent_bytes > self._sent_before:
            self.made_bytes = self.sent_bytes
