"""Memory that is freed stays with the process, for the next batch.

The GNU C library gives blocks above 32 MB back to the system as soon as they are freed, and takes them anew, page by page, every batch;
docs/training.md says what that costs.
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3)."""
_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Tell the GNU C library so; returns whether it was told. MALLOC_ settings of the environment are left as they are."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD_BYTES))
    return all(library.mallopt(parameter, value) for parameter, value in settings)
