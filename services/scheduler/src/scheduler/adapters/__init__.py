"""One outside system each; adapters translate and decide nothing."""
