"""What the benchmarks share: figures, callers, the peer, and a look at processes."""
