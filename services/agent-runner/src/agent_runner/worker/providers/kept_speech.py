"""A cache of first lines: audio with the times of its words, stored beside the log files.

One file for each line: a JSON object of the parts on its first line, then the samples. The file is encrypted with
a key made from the line itself, since a line may name the caller: a reader of the disk who does not know the line
learns nothing, and an erased session leaves nothing to find here.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ValidationError

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.utterance import letters
from agent_runner.worker.providers.spoken_language import for_inworld
from chassis import logs

PATTERN: Final = "line-*.pcm"
_LONGEST_S: Final = 60
_MODE: Final = 0o640
_NONCE_BYTES: Final = 12

log = logs.get_logger(__name__)


class Word(NamedTuple):
    """A word and its offset in the audio, in seconds."""

    text: str
    at_s: float


Part = bytes | Word
"""Samples (mono, 16 bit), or a word in them; in the order in which the provider sent them."""


class _Header(BaseModel):
    parts: list[int | Word]  # the size of a run of samples in bytes, or a word


class KeptSpeech:
    """One line in one voice."""

    def __init__(
        self, config: AgentConfig, voice_id: str, text: str, folder: Path, language: str | None = None
    ) -> None:
        """Locate the line's file.

        Args:
            folder: The cache. It is limited to TTS_CACHE_MB; the least recently used lines are evicted first.
            language: The session's, which changes the pronunciation.
        """
        self.text = text
        how = (config.tts_model, config.tts_temperature, config.tts_sample_rate, config.speed_of(voice_id))
        line = repr((text, voice_id, *how, for_inworld(language))).encode()
        self._file = folder / f"line-{hashlib.sha256(line).hexdigest()[:32]}.pcm"
        self._cipher = AESGCM(hashlib.sha256(b"key of " + line).digest())
        self._max_bytes = config.tts_cache_mb << 20
        self._longest = 2 * config.tts_sample_rate * _LONGEST_S

    def parts(self) -> list[Part]:
        """The line's parts; empty when the file is missing or damaged."""
        if self._max_bytes == 0:
            return []
        try:
            box = self._file.read_bytes()
            header, samples = self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], None).split(b"\n", 1)
            found: list[Part] = []
            at = 0
            for part in _Header.model_validate_json(header).parts:
                if isinstance(part, Word):
                    found.append(part)
                else:
                    found.append(samples[at : at + part])
                    at += part
            if at != len(samples):
                raise ValueError("the samples have another length than the header says")
            os.utime(self._file)
        except FileNotFoundError:
            return []
        except (OSError, ValueError, ValidationError, InvalidTag) as error:  # InvalidTag: of an older version, too
            log.warning("kept_speech.unreadable", file=str(self._file), error=f"{type(error).__name__} {error}"[:300])
            return []
        return found

    def keep(self, parts: Sequence[Part]) -> None:
        """Store the parts if they contain the whole line; log errors, raise none."""
        samples = b"".join(part for part in parts if isinstance(part, bytes))
        words = "".join(part.text for part in parts if isinstance(part, Word))
        is_whole = letters(words) == letters(self.text)
        if not samples or not is_whole or len(samples) > min(self._longest, self._max_bytes):
            return
        header = {"parts": [len(part) if isinstance(part, bytes) else part for part in parts]}
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "wb") as file:
                nonce = os.urandom(_NONCE_BYTES)
                file.write(nonce + self._cipher.encrypt(nonce, json.dumps(header).encode() + b"\n" + samples, None))
            draft.replace(self._file)
            self._evict()
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            log.warning("kept_speech.not_kept", file=str(self._file), error=str(error))

    def _evict(self) -> None:
        kept = sorted(((file.stat(), file) for file in self._file.parent.glob(PATTERN)), key=lambda at: at[0].st_mtime)
        surplus = sum(status.st_size for status, _ in kept) - self._max_bytes
        for status, file in kept:
            if surplus <= 0:
                return
            file.unlink(missing_ok=True)
            surplus -= status.st_size
