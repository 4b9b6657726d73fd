"""Samples of tars that are not files here: fetched by address, read once through, shuffled on the way.

Nothing is stored, so that a data set may be larger than the disk. WebDataset opens the addresses (paths, http, https,
gs, sftp, and "pipe:" with a shell command that writes a tar) and shuffles in a buffer.
"""

import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from humanmesh.data.dataset import Sample
from humanmesh.data.shards import Encoded, check_name, decode_sample
from humanmesh.errors import BadInputError, HumanMeshError

_CHUNK = 1 << 16
_END_MARK = bytes(1024)


@dataclass(frozen=True)
class StreamSource:
    """A data set that is read from its addresses, again and again."""

    name: str
    """Of the data set."""
    addresses: tuple[str, ...]
    """One a tar."""
    buffer: int = 2000
    """Samples held to draw from, as JPEG; about 25 kilobytes each."""

    def samples(self, seed: int, part: int = 0, parts: int = 1) -> Iterator[Sample]:
        """Samples without end: the tars in a new order each time round, their samples shuffled in the buffer.

        Args:
            seed: Decides both orders.
            part: Which share to read, 0 to `parts` - 1.
            parts: Readers that share the data set. Each has tars of its own; where there are fewer tars than readers, all
                read every tar and each keeps its own samples.

        Raises:
            BadInputError: while reading, where a tar is missing, damaged, cut short or of something else.
        """
        rng = random.Random(seed)
        if len(self.addresses) >= parts:
            records = self._endless(self.addresses[part::parts], rng.shuffle)
        else:  # all readers must see one order, so it is left as it is
            records = islice(self._endless(self.addresses, lambda some: None), part, None, parts)
        shuffled = _webdataset().shuffle(self.buffer, initial=self.buffer // 2, rng=rng)(records)
        for record in shuffled:
            place = f"shard {record['__url__']}, record {record['__key__']}"
            if not {"jpg", "json"} <= record.keys():
                found = sorted(name for name in record if not name.startswith("__"))
                raise BadInputError(place, f"it has {found}, not jpg and json", "Pack it again.")
            yield decode_sample(Encoded(record["jpg"], record["json"]), place)

    def _endless(
        self, addresses: tuple[str, ...], reorder: Callable[[list[str]], None]
    ) -> Iterator[dict[str, Any]]:
        for _ in count():
            order = list(addresses)
            reorder(order)
            is_empty = True
            for address in order:
                for record in read_stream(address):
                    is_empty = False
                    yield record
            if is_empty:
                raise BadInputError(f"data set {self.name}", f"no samples in {order[0]}", "Pack it again.")


def stream_source(name: str, addresses: str) -> StreamSource:
    """A data set from one line of addresses.

    Args:
        name: Of the data set.
        addresses: As WebDataset writes them: {00000..00063} stands for all numbers between, :: stands between addresses.
    """
    urls = tuple(_webdataset().expand_urls(addresses)) if addresses.strip() else ()
    if not urls:
        raise BadInputError(f"data set {name}", "no address", "Give the address of at least one tar.")
    return StreamSource(check_name(name), urls)


def read_stream(address: str) -> Iterator[dict[str, Any]]:
    """Records of one tar in their order: bytes by suffix, with `__key__` and `__url__`.

    Raises:
        BadInputError: where it cannot be fetched, or is not one whole tar.
    """
    webdataset = _webdataset()
    stream: Any = None
    try:
        stream = webdataset.gopen(address)
        tail = _Tail(stream)
        yield from webdataset.group_by_keys(_members(tail, address))
        tail.finish()
        stream.close()  # a command that failed says so now
    except (OSError, ValueError, tarfile.TarError) as error:
        _abandon(stream)
        found = f"it could not be read as one whole tar ({_exit_of(stream) or error})"
        raise BadInputError(f"shard {address}", found, "Check the address, or pack it again.") from error
    finally:
        _abandon(stream)


def _members(stream: "_Tail", address: str) -> Iterator[dict[str, Any]]:
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # pyright: ignore[reportArgumentType, reportCallIssue]
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield {"fname": member.name, "data": file.read(), "__url__": address}
            tar.members = []  # a stream forgets what it has read  # pyright: ignore[reportAttributeAccessIssue]


class _Tail:
    """A stream that remembers its last bytes: a tar that ends early between two files looks whole to tarfile."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.last = (self.last + data)[-len(_END_MARK) :]
        return data

    def finish(self) -> None:
        """Read what follows the last file: nothing but zeros, or it is no single whole tar."""
        if self.last != _END_MARK:
            raise tarfile.ReadError("its end is missing")
        while rest := self.read(_CHUNK):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("more follows after its end; give each tar an address of its own")


def _abandon(stream: Any) -> None:
    """Close without complaint, and end the command that would go on writing."""
    process = getattr(stream, "proc", None)
    if process is not None and process.poll() is None:
        process.kill()
    try:
        if stream is not None:
            stream.close()
    except OSError:
        return


def _exit_of(stream: Any) -> str:
    """Words for a command that failed by itself; none for one that we ended, or for a file."""
    status = getattr(stream, "status", None) or 0
    return f"its command ended with exit code {status}" if status > 0 else ""


@dataclass(frozen=True)
class _WebDataset:
    """What is used of WebDataset."""

    gopen: Callable[..., Any]
    group_by_keys: Callable[..., Iterator[dict[str, Any]]]
    shuffle: Callable[..., Any]
    expand_urls: Callable[[str], list[str]]


def _webdataset() -> _WebDataset:
    try:
        from webdataset.filters import shuffle
        from webdataset.gopen import gopen
        from webdataset.shardlists import expand_urls
        from webdataset.tariterators import group_by_keys
    except ImportError as error:
        raise HumanMeshError(
            "Streams need the package webdataset. Run: pip install 'humanmesh[train]'"
        ) from error
    return _WebDataset(gopen, group_by_keys, shuffle, expand_urls)
