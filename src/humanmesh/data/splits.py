"""Which records are kept out of training, one rule a data set, so that every table names the same people."""

import zlib
from collections.abc import Iterable

from humanmesh.data.annotation import Annotation
from humanmesh.errors import BadInputError

LSPET_HOLD_OUT = range(8001, 9001)
"""Numbers of the held-out pictures of LSPET (im08001 to im09000)."""
CCP_HOLD_OUT_STRIDE = 5
"""Every picture of CCP whose number this divides is held out."""


def _lspet(annotation: Annotation) -> bool:
    return int(annotation.image.stem.removeprefix("im")) in LSPET_HOLD_OUT


def _ccp(annotation: Annotation) -> bool:
    return int(annotation.image.stem) % CCP_HOLD_OUT_STRIDE == 0


def _exercise_tenth(annotation: Annotation) -> bool:
    """A tenth of the exercises by a hash of the name; both phases of an exercise fall on the same side."""
    return zlib.crc32(annotation.image.stem.rpartition("_")[0].encode()) % 10 == 0


HOLD_OUTS = {"lspet": _lspet, "ccp": _ccp, "exercises": _exercise_tenth}


def is_held_out(annotation: Annotation) -> bool:
    """What the rule of the annotation's source says; a source without a rule is all training.

    Raises:
        BadInputError: where the rule goes by the photo's name, and that is none of the source's.
    """
    rule = HOLD_OUTS.get(annotation.source)
    try:
        return rule is not None and rule(annotation)
    except ValueError as error:
        found = f"{annotation.image.name} is not named as its photos are"
        remedy = "Name it so, or pack the photos without that rule (--hold-out SHARE)."
        raise BadInputError(f"hold-out of {annotation.source}", found, remedy) from error


def split(annotations: Iterable[Annotation]) -> tuple[list[Annotation], list[Annotation]]:
    """(training, held out), by `is_held_out`."""
    training: list[Annotation] = []
    held_out: list[Annotation] = []
    for annotation in annotations:
        (held_out if is_held_out(annotation) else training).append(annotation)
    return training, held_out
