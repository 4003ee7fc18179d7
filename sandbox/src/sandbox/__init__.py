"""Servers that replace AssemblyAI, Groq and Inworld on their wire protocols."""
