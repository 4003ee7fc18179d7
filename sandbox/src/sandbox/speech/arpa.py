"""A trigram language model from weighted sentences, in the ARPA format of pocketsphinx."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

START, END = "<s>", "</s>"
_ORDER = 3
_NEVER = -99.0

Gram = tuple[str, ...]


class TrigramModel:
    """An interpolated trigram model: each order keeps `1 - leave` of its mass, and leaves the rest to the lower order.

    Written as a back-off model it is exact: the back-off weight of every history is `leave`, since a seen history
    contains its share of the lower order. The lowest order leaves its share equally to all words.

    Args:
        sentences: Words and weight of each sentence; weights may be fractions.
        leave: Share of each order (0..1) for the lower one: the smaller, the closer the model follows the sentences.
    """

    def __init__(self, sentences: Iterable[tuple[Sequence[str], float]], *, leave: float = 0.3) -> None:
        self._leave = leave
        self._counts: list[dict[Gram, float]] = [defaultdict(float) for _ in range(_ORDER)]
        self._histories: dict[Gram, float] = defaultdict(float)
        for words, weight in sentences:
            self._add((START, *words, END), weight)
        if not self._histories:
            raise ValueError("a language model needs at least one sentence")
        self._words = sorted({gram[0] for gram in self._counts[0]})

    @property
    def vocabulary(self) -> list[str]:
        return [word for word in self._words if word not in (START, END)]

    def _add(self, line: Gram, weight: float) -> None:
        for order in range(1, _ORDER + 1):
            for at in range(len(line) - order + 1):
                gram = line[at : at + order]
                self._counts[order - 1][gram] += weight
                if gram != (START,):
                    self._histories[gram[:-1]] += weight

    def probability(self, gram: Gram) -> float:
        """Probability of the last word of `gram` after the others."""
        if not gram:
            return 1 / (len(self._words) - 1)
        lower = self.probability(gram[1:])
        total = self._histories.get(gram[:-1], 0.0)
        if total == 0:
            return lower
        return (1 - self._leave) * self._counts[len(gram) - 1].get(gram, 0.0) / total + self._leave * lower

    def write(self, path: Path) -> None:
        r"""Write the model; it must end in `\end\`, without which the decoder hangs."""
        grams = [sorted(counts) for counts in self._counts]
        with path.open("w", encoding="utf-8") as file:
            file.write("\\data\\\n")
            file.writelines(f"ngram {order}={len(found)}\n" for order, found in enumerate(grams, 1))
            for order, found in enumerate(grams, 1):
                file.write(f"\n\\{order}-grams:\n")
                file.writelines(self._line(gram, last=order == _ORDER) for gram in found)
            file.write("\n\\end\\\n")

    def _line(self, gram: Gram, *, last: bool) -> str:
        log = _NEVER if gram == (START,) else math.log10(self.probability(gram))
        line = f"{log:.5f} {' '.join(gram)}"
        if last:
            return f"{line}\n"
        back_off = math.log10(self._leave) if gram in self._histories else 0.0
        return f"{line} {back_off:.5f}\n"
