"""AssemblyAI's v3 streaming WebSocket, and the REST call that checks a key."""
