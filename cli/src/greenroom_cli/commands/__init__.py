"""The commands, one module each: read options, call the code that does the work, print."""
