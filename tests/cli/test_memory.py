"""Freed memory stays with the process: counted in pages that the system had to hand out."""

import os
import platform
import subprocess
import sys

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_memory_of_the_last_batch_serves_the_next():
    assert int(run("leave").stdout) > 0.9 * PAGES
    # From a tenth to seven tenths, by where the heap begins: what lies above a freed block keeps some of them apart.
    assert int(run("keep").stdout) < 0.8 * PAGES


def test_settings_of_the_environment_are_left_alone():
    assert "not told" in run("keep", MALLOC_ARENA_MAX="2").stderr
