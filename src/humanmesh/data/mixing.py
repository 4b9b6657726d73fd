"""Several data sets in fixed shares of every batch, in an order that only the seed and the batch's number decide."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import get_worker_info

from humanmesh.data.dataset import Batch, Sample, SampleSource, collate
from humanmesh.data.streaming import StreamSource
from humanmesh.errors import BadInputError


def quotas(shares: Sequence[float], batch_size: int) -> list[int]:
    """Whole numbers that add up to `batch_size`, nearest to the shares (largest remainders)."""
    exact = np.asarray(shares, float) / np.sum(shares) * batch_size
    counts = np.floor(exact).astype(int)
    for row in np.argsort(counts - exact, kind="stable")[: batch_size - counts.sum()]:
        counts[row] += 1
    return counts.tolist()


class Mixture:
    """Batches by number. Each source gives its quota of every batch and is walked through in shuffled epochs.

    A streamed source has no numbers: it gives what comes next, in an order that the seed and the number of the first
    batch decide. So a resumed training sees a stream anew in another order, and everything else as if it had not stopped.
    """

    def __init__(
        self,
        sources: Sequence[SampleSource | StreamSource],
        shares: Mapping[str, float],
        batch_size: int,
        seed: int,
        rows: slice = slice(None),
    ) -> None:
        """Mix sources by their shares of a batch.

        Args:
            shares: share of each source by its name, above 0; they need not add up to one.
            rows: rows of every batch to load, for a process that trains on a part of it: from its rank on, in steps
                of the number of processes.
        """
        for source in sources:
            if not isinstance(source, StreamSource) and not len(source):
                raise BadInputError(
                    f"data set {source.name}", "no samples in it", "Pack it again, or leave it out."
                )
            if not shares.get(source.name, 0) > 0:
                raise BadInputError(
                    f"share of data set {source.name}", str(shares.get(source.name)), "Give a number above 0."
                )
        self.sources = sources
        self.counts = quotas([shares[source.name] for source in sources], batch_size)
        for source, count in zip(sources, self.counts, strict=True):
            if not count:
                raise BadInputError(
                    f"data set {source.name}", f"its share of a batch of {batch_size} comes to no sample",
                    "Give it a larger share, or the batch more samples.",
                )  # fmt: skip
        self.seed = seed
        self.rows = rows
        self._permutations: dict[tuple[int, int], np.ndarray] = {}
        self._streams: dict[int, Iterator[Sample]] = {}

    def __getitem__(self, number: int) -> Batch:
        """The batch of that number, 0 and up; no end.

        Raises:
            BadInputError: where a sample is damaged, or pictures of two sizes meet.
        """
        draws = [
            (source, number * count + nth) for source, count in enumerate(self.counts) for nth in range(count)
        ]
        samples = [self._sample(source, draw, number) for source, draw in draws[self.rows]]
        for sample in samples:
            if sample.image.shape != samples[0].image.shape:
                raise BadInputError(
                    f"pictures of {sample.source} and {samples[0].source}",
                    f"{sample.image.shape[1]} and {samples[0].image.shape[1]} pixels wide",
                    "Pack both again.",
                )
        return collate(samples)

    def _sample(self, number: int, draw: int, batch: int) -> Sample:
        source = self.sources[number]
        if isinstance(source, StreamSource):
            return next(self._stream(number, source, batch))
        epoch, nth = divmod(draw, len(source))
        return source[int(self._permutation(number, epoch)[nth])]

    def _stream(self, number: int, source: StreamSource, batch: int) -> Iterator[Sample]:
        """The running stream of a source, begun at the first batch that asks for it, one a process."""
        if number not in self._streams:
            worker = get_worker_info()
            workers, own = (1, 0) if worker is None else (worker.num_workers, worker.id)
            part = (self.rows.start or 0) * workers + own
            seed = int(np.random.SeedSequence([self.seed, number, batch, part]).generate_state(1)[0])
            self._streams[number] = source.samples(seed, part, (self.rows.step or 1) * workers)
        return self._streams[number]

    def _permutation(self, source: int, epoch: int) -> np.ndarray:
        if (source, epoch) not in self._permutations:
            self._permutations = {
                key: p for key, p in self._permutations.items() if key[1] >= epoch - 1 or key[0] != source
            }
            rng = np.random.default_rng([self.seed, source, epoch])
            self._permutations[source, epoch] = rng.permutation(len(self.sources[source]))  # pyright: ignore[reportArgumentType]
        return self._permutations[source, epoch]
