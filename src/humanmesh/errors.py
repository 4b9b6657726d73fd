"""Errors that the user can mend: one sentence each, printed without a traceback, exit code 2."""


class HumanMeshError(Exception):
    """Base of every error that a user can cause and mend."""


class BadInputError(HumanMeshError):
    """An input that was found but cannot be used: what was wanted, what was found, what to do."""

    def __init__(self, what: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: {found}. {remedy}")


class MissingAssetError(HumanMeshError):
    """A file that was asked for and is not there."""

    def __init__(self, kind: str, path: object, remedy: str) -> None:
        super().__init__(f"No {kind} at {path}. {remedy}")


class UnknownNameError(HumanMeshError):
    """A name outside a closed list; the message lists the names that exist."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"Unknown {kind} {name!r}. Choose one of: {', '.join(sorted(known))}.")
