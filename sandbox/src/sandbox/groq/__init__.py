"""Groq's OpenAI-compatible API: chat completions and the list of models."""
