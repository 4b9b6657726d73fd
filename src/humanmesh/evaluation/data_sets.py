"""The people whom a protocol measures, read from every data set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers import (
    ReadReport,
    ReadRules,
    read_ccp,
    read_coco,
    read_h36m,
    read_lsp,
    read_lspet,
    read_mpi_inf_3dhp_npz,
    read_mpi_inf_3dhp_test,
    read_person_mask,
    read_pw3d,
    read_spin,
)
from humanmesh.data.shards import HELD_OUT, ShardSource, data_sets_in
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.evaluation.cases import Case, Truth3D, TruthBody, case_of, is_selected
from humanmesh.evaluation.part_labels import part_order, read_labels
from humanmesh.evaluation.protocols import Protocol
from humanmesh.files.images import pixels_of_array


@dataclass(frozen=True)
class DataSet:
    """How the files of a data set lie, and who reads them."""

    read: Callable[[Path, ReadReport], list[Case]]
    needs: tuple[str, ...]
    """Patterns relative to the folder; each must match a file."""
    layout: str
    """The same for people: a tree."""
    source: str
    """Where a user obtains it."""


def load_cases(protocol: Protocol, path: Path, report: ReadReport, images: Path | None = None) -> list[Case]:
    """The people whom the protocol measures, in the order of the data set.

    Args:
        protocol: Who is measured.
        path: Of the data set.
        report: Where people are counted who cannot be used.
        images: Folder of the photos of a file in COCO form; looked for in the usual places where None.

    Raises:
        MissingAssetError: where there is nothing at the path.
        BadInputError: where files are missing, with the layout that is wanted; or where nobody is left to measure.
    """
    data_set = DATA_SETS[protocol.data_set]
    check_layout(data_set, path)
    if images is not None and data_set.read is not _read_coco:
        raise BadInputError(
            "Folder of photos", f"the protocol {protocol.name} has its own layout", f"Wanted is:\n{data_set.layout}"
        )  # fmt: skip
    read = data_set.read if images is None else partial(_read_coco, images=images)
    cases = [case for case in read(path, report) if is_selected(case, protocol)]
    if _needs_boxes(protocol):
        cases = _with_box(cases, path, report)
    if not cases:
        found = f"nobody whom the protocol {protocol.name} measures ({protocol.selection.sentence})"
        remedy = f"{_told(report)}Wanted is:\n{data_set.layout}"
        raise BadInputError(f"{path}, of which {report.kept} people were read", found, remedy)
    return cases


def _needs_boxes(protocol: Protocol) -> bool:
    return "data set's box" in {protocol.crop, protocol.size}


_NO_BOX = "no box"
"""A reason of `ReadReport`, beside the readers' own."""


def _with_box(cases: list[Case], path: Path, report: ReadReport) -> list[Case]:
    """Those with a box that has an extent; the others are counted."""
    left_out = [case.record for case in cases if not _has_box(case)]
    if left_out:
        report.counts[_NO_BOX] += len(left_out)
        report.examples[_NO_BOX] = [f"{path}, {record}: no box with an extent" for record in left_out[:20]]
    return [case for case in cases if _has_box(case)]


def _has_box(case: Case) -> bool:
    return case.box is not None and bool((case.box[2:] > case.box[:2]).all())


def _told(report: ReadReport) -> str:
    """Why people were left out, as sentences."""
    sentences = [
        f"{reason}: {count}, the first: {report.examples[reason][0]}. " for reason, count in report.counts.most_common()
    ]  # fmt: skip
    if report.counts[_NO_BOX]:
        sentences.append("Packed people need no box: `humanmesh data pack`, then the protocol shards-pck. ")
    return "".join(sentences)


def protocol_on(protocol: Protocol, path: Path) -> Protocol:
    """The protocol as it measures these files: what is not the official truth is named in its sentence."""
    if protocol.data_set == "shards":
        return replace(protocol, file=_shards_at(path).name)
    if protocol.data_set == "mpi_inf_3dhp" and path.is_file():
        truth = "annot3 (every subject's own size), which mmpose's tables hold"
        return replace(protocol, truth=truth, file=path.name)
    if not protocol.official_file:
        return protocol
    name = _coco_file(path).name
    return protocol if name == protocol.official_file else replace(protocol, file=name)


def check_layout(data_set: DataSet, path: Path) -> None:
    """Compare a folder (or file) with what the data set needs.

    Raises:
        MissingAssetError: where there is nothing at the path.
        BadInputError: naming the file that is missing, the layout, and where to get it.
    """
    help_text = f"Wanted is:\n{data_set.layout}\nIt comes from {data_set.source}."
    if not path.exists():
        raise MissingAssetError("data set", path, help_text)
    if path.is_file():
        return
    for pattern in data_set.needs:
        if next(path.glob(pattern), None) is None:
            raise BadInputError(f"Data set {path}", f"no {pattern} in it", help_text)


_ALL = ReadRules(minimum_joints=0)
"""The protocol says whom to leave out, not the reader."""


def _cases(annotations: list[Annotation]) -> list[Case]:
    return [case_of(annotation) for annotation in annotations]


def _read_ccp(path: Path, report: ReadReport) -> list[Case]:
    people = read_ccp(path, _ALL, report)
    return [
        replace(case, load_mask=_person_mask(person.mask)) if person.mask is not None else case
        for person, case in zip(people, _cases(people), strict=True)
    ]


def _person_mask(path: Path) -> Callable[[], np.ndarray]:
    return lambda: read_person_mask(path)


def _read_exercises(path: Path, report: ReadReport) -> list[Case]:
    file = path / "keypoints.json"
    return _cases(read_coco(file, path / "images", _ALL, report, source="exercises"))


def _read_coco(path: Path, report: ReadReport, images: Path | None = None) -> list[Case]:
    return _cases(read_coco(_coco_file(path), images, _ALL, report))


def _coco_file(path: Path) -> Path:
    return _only_file(path, "*.json", "annotations/person_keypoints_*.json")


def _shards_at(path: Path) -> ShardSource:
    """The data set that a tar belongs to, or the one of a folder: the held-out one where there are several."""
    found = data_sets_in(path if path.is_dir() else path.parent)
    if path.is_file():
        found = {name: paths for name, paths in found.items() if path in paths}
    held_out = {name: paths for name, paths in found.items() if name.endswith(HELD_OUT)}
    chosen = held_out or found
    if len(chosen) != 1:
        names = ", ".join(chosen) or "none"
        remedy = f"Name a tar of one, such as {path}/NAME{HELD_OUT}-00000.tar."
        raise BadInputError(f"{path}: one packed data set was wanted", f"{len(chosen)} ({names})", remedy)
    ((name, paths),) = chosen.items()
    return ShardSource(name, paths)


def _read_shards(path: Path, report: ReadReport) -> list[Case]:
    source = _shards_at(path)
    report.kept += len(source)
    return [_case_of_shard(source, row) for row in range(len(source))]


def _case_of_shard(source: ShardSource, row: int) -> Case:
    sample = source[row]
    has_truth = sample.has_known_3d and sample.weights_3d.any()
    truth = Truth3D(sample.keypoints_3d, sample.weights_3d) if has_truth else None
    is_known = sample.pose_weight > 0 and sample.shape_weight > 0
    return Case(
        record=f"{sample.source}/{sample.record}",
        load_pixels=lambda: pixels_of_array(source[row].image.transpose(1, 2, 0)),
        skeleton=COCOPLUS_19,
        keypoints_2d=sample.keypoints_2d,
        weights_2d=sample.weights_2d,
        box=sample.box,
        truth_3d=truth,
        body=TruthBody(None, sample.pose, sample.shape) if is_known else None,
        image=f"{sample.source}/{sample.record}",
    )


def _only_file(path: Path, *patterns: str) -> Path:
    if path.is_file():
        return path
    found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:5]) or "none"
        remedy = f"Give the path of one file, such as {path}/{patterns[-1]}."
        raise BadInputError(
            f"{path}: one file {' or '.join(patterns)} was wanted", f"{len(found)} ({names})", remedy
        )
    return found[0]


def _read_h36m(path: Path, report: ReadReport) -> list[Case]:
    file = _only_file(path, "*test*.npz", "annotation_body3d/fps10/h36m_test.npz")
    return _cases(read_h36m(file, None, _ALL, report))


def _read_3dhp(path: Path, report: ReadReport) -> list[Case]:
    if path.is_file():
        return _cases(read_mpi_inf_3dhp_npz(path, None, _ALL, report))
    return _cases(read_mpi_inf_3dhp_test(path, _ALL, report))


def _read_pw3d(path: Path, report: ReadReport) -> list[Case]:
    folder = path / "sequenceFiles" / "test"
    return _cases(read_pw3d(folder if folder.is_dir() else path, None, _ALL, report))


def _read_lsp_masks(path: Path, report: ReadReport) -> list[Case]:
    people = read_lsp(path, _ALL, report)
    cases = [_with_lsp_masks(case, path / "data" / "lsp") for case in _cases(people)]
    order = cache(lambda: part_order(cases))
    return [
        replace(case, load_parts=_reordered(case.load_parts, order)) if case.load_parts is not None else case
        for case in cases
    ]


def _with_lsp_masks(case: Case, folder: Path) -> Case:
    person, parts = (folder / f"{case.record}_{kind}.png" for kind in ("segmentation", "part_segmentation"))
    return replace(
        case,
        load_mask=(lambda: read_labels(person) > 0) if person.is_file() else None,
        load_parts=(lambda: read_labels(parts)) if parts.is_file() else None,
    )


def _reordered(
    load: Callable[[], np.ndarray], order: Callable[[], UInt8[np.ndarray, "256"]]
) -> Callable[[], np.ndarray]:
    return lambda: order()[load()]


def _read_synthetic(path: Path, report: ReadReport) -> list[Case]:
    files = [path] if path.is_file() else sorted(path.glob("*.pt"))
    cases = []
    for file in files:
        arrays = read_synthetic_part(file)
        cases += synthetic_cases(arrays, file.stem)
    report.kept += len(cases)
    return cases


_SYNTHETIC_FIELDS = ("images", "keypoints_2d", "weights_2d", "keypoints_3d", "rotations", "shape", "mask")


def read_synthetic_part(file: Path) -> dict[str, Tensor]:
    """A part that `data.synthetic_recipe.run` wrote.

    Raises:
        BadInputError: where it is something else.
    """
    remedy = "Make it by the fixed recipe: humanmesh data synthesize --benchmark --held-out."
    try:
        arrays = torch.load(file, weights_only=True, mmap=True)
    except Exception as error:  # a damaged file can fail in any way
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"{file} should hold synthetic people", found, remedy) from error
    missing = [name for name in _SYNTHETIC_FIELDS if name not in arrays]
    if missing:
        raise BadInputError(f"{file} should hold synthetic people", f"no {', '.join(missing)}", remedy)
    return arrays


def synthetic_cases(arrays: dict[str, Tensor], part: str) -> Iterator[Case]:
    """The people of a part."""
    half = arrays["images"].shape[-1] / 2
    for row in range(len(arrays["images"])):
        weights = arrays["weights_2d"][row].numpy()
        yield Case(
            record=f"{part}/{row}",
            load_pixels=_picture(arrays["images"], row),
            skeleton=COCOPLUS_19,
            keypoints_2d=((arrays["keypoints_2d"][row] + 1) * half).numpy() * (weights > 0)[:, None],
            weights_2d=weights,
            truth_3d=Truth3D(arrays["keypoints_3d"][row].numpy(), np.ones(len(COCOPLUS_19), np.float32)),
            body=TruthBody(arrays["rotations"][row].numpy(), None, arrays["shape"][row].numpy()),
            load_mask=_mask(arrays["mask"], row),
            image=f"{part}/{row}",
        )


def _picture(images: Tensor, row: int) -> Callable[[], Tensor]:
    return lambda: images[row].float() / 255


def _mask(masks: Tensor, row: int) -> Callable[[], np.ndarray]:
    return lambda: masks[row].numpy() > 0


DATA_SETS: dict[str, DataSet] = {
    "lspet": DataSet(
        lambda path, report: _cases(read_lspet(path, _ALL, report)),
        ("joints.mat", "images/im*.jpg"),
        "  joints.mat            (14, 3, N)\n  images/im00001.jpg ...",
        "sam.johnson.io/research/lspet.html",
    ),
    "ccp": DataSet(
        _read_ccp,
        ("keypoints.json", "images/*.jpg", "labels/*.png"),
        "  keypoints.json        COCO form\n  images/0001.jpg ...\n  labels/0001.png ...",
        "github.com/bearpaw/clothing-co-parsing; keypoints by MoveNet Lightning",
    ),
    "exercises": DataSet(
        _read_exercises,
        ("keypoints.json", "images/*"),
        "  keypoints.json        COCO form\n  images/NAME_0.jpg ...",
        "github.com/yuhonas/free-exercise-db; keypoints by MoveNet Lightning",
    ),
    "synthetic": DataSet(
        _read_synthetic,
        ("*.pt",),
        "  part_000.pt           of humanmesh data synthesize --benchmark",
        "the project's own recipe, data/synthetic_recipe.py",
    ),
    "h36m": DataSet(
        _read_h36m,
        (),
        "  annotation_body3d/cameras.pkl\n  annotation_body3d/fps10/h36m_test.npz   imgname, part, S, center, scale\n  images/S9/...",
        "vision.imar.ro/human3.6m, prepared by mmpose's script",
    ),
    "mpi_inf_3dhp": DataSet(
        _read_3dhp,
        ("**/TS*/annot_data.mat",),
        "  TS1/annot_data.mat    annot2, univ_annot3, valid_frame\n  TS1/imageSequence/img_000001.jpg ...\n  TS2 to TS6 alike",
        "vcai.mpi-inf.mpg.de/3dhp-dataset",
    ),
    "pw3d": DataSet(
        _read_pw3d,
        ("**/*.pkl",),
        "  sequenceFiles/test/downtown_walking_00.pkl ...\n  imageFiles/downtown_walking_00/image_00000.jpg ...",
        "virtualhumans.mpi-inf.mpg.de/3DPW",
    ),
    "lsp_masks": DataSet(
        _read_lsp_masks,
        ("joints.mat", "images/im*.jpg", "data/lsp/im*_segmentation.png"),
        "  joints.mat            (3, 14, 2000)\n  images/im0001.jpg ...\n  data/lsp/im1001_segmentation.png ...\n"
        "  data/lsp/im1001_part_segmentation.png ...",
        "sam.johnson.io/research/lsp.html, and UPi-S1h of files.is.tuebingen.mpg.de/classner/up",
    ),
    "coco": DataSet(
        _read_coco,
        (),
        "  annotations/person_keypoints_val2017.json\n  val2017/000000000139.jpg ...",
        "cocodataset.org",
    ),
    "shards": DataSet(
        _read_shards,
        ("*.tar",),
        "  NAME_held_out-00000.tar ...   of one packed data set",
        "humanmesh data pack",
    ),
    "spin": DataSet(
        lambda path, report: _cases(read_spin(_only_file(path, "*.npz"), None, _ALL, report)),
        (),
        "  TABLE.npz             imgname, center, scale, part (N, 24, 3)\n  what imgname says",
        "the project that made the table",
    ),
}
