"""Captions as LiveKit's clients know them: text streams and their attributes (docs/front-end.md)."""

from typing import Final

TOPIC: Final = "lk.transcription"
SEGMENT: Final = "lk.segment_id"
TRACK: Final = "lk.transcribed_track_id"
FINAL: Final = "lk.transcription_final"
