"""espeak-ng for speech, pocketsphinx for recognition."""
