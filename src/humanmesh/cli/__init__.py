"""The command line: one file a command."""

from humanmesh.cli.commands import COMMANDS, main

__all__ = ["COMMANDS", "main"]
