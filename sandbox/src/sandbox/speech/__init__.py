"""Voice and ear: espeak-ng speaks, pocketsphinx recognises."""
