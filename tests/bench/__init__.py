"""The benchmarks. `python -m tests.bench.turns` finds what they share as `python tests/bench/turns.py` does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
