"""Speech to text, language model, text to speech, tools, and the local models."""
