"""Inworld's text to speech: the WebSocket, the two HTTP calls and the lists of voices."""
