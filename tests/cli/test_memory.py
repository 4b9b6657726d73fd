"""Freed memory stays with the process: counted in pages that the system had to hand out."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from humanmesh.cli.memory import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("not told")

def batch():
    torch.ones(12 << 20)

batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 10 * 48 * 256
"""In ten batches of 48 MB, pages of 4 KiB."""


def run(argument: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", COUNT_FAULTS, argument]
    return subprocess.run(command, capture_output=True, text=True, env=kept | environment)


def has_small_pages() -> bool:
    """Whether memory comes in pages of 4 KiB."""
    huge = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    is_huge = huge.is_file() and "[always]" in huge.read_text()
    return os.sysconf("SC_PAGESIZE") == 4096 and not is_huge


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_memory_of_the_last_batch_serves_the_next():
    if not has_small_pages():
        pytest.skip("needs pages of 4 KiB")
    left, kept = (int(run(argument).stdout) for argument in ("leave", "keep"))
    assert left > 0.9 * PAGES
    # From a tenth to seven tenths, by where the heap begins: what lies above a freed block keeps some of them apart.
    assert kept < min(0.8 * PAGES, left)


def test_settings_of_the_environment_are_left_alone():
    assert "not told" in run("keep", MALLOC_ARENA_MAX="2").stderr
