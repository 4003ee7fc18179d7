"""The worker process, from the fork to `_exit`: memory, log, trace. `direct` runs one agent without a supervisor."""
