"""The commands: one module each, which reads options, calls what does the work, and prints."""
