"""AssemblyAI's v3 streaming WebSocket, and the one REST call that tells whether a key is good."""
