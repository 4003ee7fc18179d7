"""The Pipecat pipeline of an agent, and the observer of its frames."""
