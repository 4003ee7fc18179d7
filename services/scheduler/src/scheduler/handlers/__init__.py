"""The leader's shell: reads the log and the registry, asks the domain, does what it says."""
