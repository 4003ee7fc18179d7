"""Stand-ins that speak the wire protocols of AssemblyAI, Groq and Inworld."""
