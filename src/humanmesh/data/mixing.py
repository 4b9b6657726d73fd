"""Several data sets in fixed shares of every batch, in an order that only the seed and the batch's number decide."""

from collections.abc import Mapping, Sequence

import numpy as np

from humanmesh.data.dataset import Batch, Sample, SampleSource, collate
from humanmesh.errors import BadInputError


def quotas(shares: Sequence[float], batch_size: int) -> list[int]:
    """Whole numbers that add up to `batch_size`, nearest to the shares (largest remainders)."""
    exact = np.asarray(shares, float) / np.sum(shares) * batch_size
    counts = np.floor(exact).astype(int)
    for row in np.argsort(counts - exact, kind="stable")[: batch_size - counts.sum()]:
        counts[row] += 1
    return counts.tolist()


class Mixture:
    """Batches by number. Each source gives its quota of every batch and is walked through in shuffled epochs."""

    def __init__(
        self,
        sources: Sequence[SampleSource],
        shares: Mapping[str, float],
        batch_size: int,
        seed: int,
        rows: slice = slice(None),
    ) -> None:
        """Mix sources by their shares of a batch.

        Args:
            shares: share of each source by its name, above 0; they need not add up to one.
            rows: rows of every batch to load, for a process that trains on a part of it.
        """
        for source in sources:
            if not len(source):
                raise BadInputError(
                    f"data set {source.name}", "no samples in it", "Pack it again, or leave it out."
                )
            if not shares.get(source.name, 0) > 0:
                raise BadInputError(
                    f"share of data set {source.name}", str(shares.get(source.name)), "Give a number above 0."
                )
        self.sources = sources
        self.counts = quotas([shares[source.name] for source in sources], batch_size)
        self.seed = seed
        self.rows = rows
        self._permutations: dict[tuple[int, int], np.ndarray] = {}

    def __getitem__(self, number: int) -> Batch:
        """The batch of that number, 0 and up; no end."""
        places = [place for source in range(len(self.sources)) for place in self._places(source, number)]
        return collate([self._load(source, row) for source, row in places[self.rows]])

    def _load(self, source: int, row: int) -> Sample:
        return self.sources[source][row]

    def _places(self, source: int, number: int) -> list[tuple[int, int]]:
        count, length = self.counts[source], len(self.sources[source])
        draws = range(number * count, (number + 1) * count)
        return [(source, int(self._permutation(source, k // length)[k % length])) for k in draws]

    def _permutation(self, source: int, epoch: int) -> np.ndarray:
        if (source, epoch) not in self._permutations:
            self._permutations = {
                key: p for key, p in self._permutations.items() if key[1] >= epoch - 1 or key[0] != source
            }
            rng = np.random.default_rng([self.seed, source, epoch])
            self._permutations[source, epoch] = rng.permutation(len(self.sources[source]))
        return self._permutations[source, epoch]
