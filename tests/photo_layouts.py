"""Writes one tiny data set in each layout that the readers of photos know, all with the same person.

The orders of joints are written out here once more, from the data sets' own documents, not taken from the project.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

WIDTH, HEIGHT = 100, 120


def joints(names: str) -> list[str]:
    """Names in an order; "-" where a layout has a joint that no reader takes."""
    return names.split()


NAMES = joints(
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top nose left_eye right_eye left_ear right_ear pelvis spine "
    "thorax jaw head"
)
POINTS = {name: np.array([10.5 + 3 * row, 20.5 + 2 * row]) for row, name in enumerate(NAMES)}
"""Pixels, at pixel centres."""
POINTS_3D = {name: np.array([0.01 * row - 0.1, 0.02 * row, 3 + 0.01 * row]) for row, name in enumerate(NAMES)}
"""Metres, camera frame."""

LSP = NAMES[:14]
COCO = joints(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
MPII = joints(
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax neck head_top right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist"
)
H36M = joints(
    "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine neck jaw head_top left_shoulder "
    "left_elbow left_wrist right_shoulder right_elbow right_wrist"
)
MPI_17 = joints(
    "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle pelvis spine head"
)
MPI_ROWS_OF_28 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
SPIN = [
    *LSP,
    "pelvis",
    "thorax",
    "spine",
    "jaw",
    "head",
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
]
OPENPOSE_18 = joints(
    "nose - right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
)
SMPL = joints(
    "pelvis left_hip right_hip - left_knee right_knee - left_ankle right_ankle - - - neck - - head left_shoulder "
    "right_shoulder left_elbow right_elbow left_wrist right_wrist - -"
)

CAMERA_FROM_WORLD = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
CAMERA_POSITION = np.array([4.0, 1.0, 1.5])
WORLD_POSE = np.linspace(-0.5, 0.6, 72)


def points(names: list[str]) -> np.ndarray:
    """(K, 2) pixels; 0 for a name that the person lacks."""
    return np.array([POINTS.get(name, np.zeros(2)) for name in names])


def points_3d(names: list[str]) -> np.ndarray:
    """(K, 3) metres, camera frame."""
    return np.array([POINTS_3D.get(name, np.zeros(3)) for name in names])


def with_ones(table: np.ndarray) -> np.ndarray:
    """One column of ones more."""
    return np.concatenate([table, np.ones((len(table), 1))], 1)


def write_photo(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path)
    return path


def world(camera_points: np.ndarray) -> np.ndarray:
    return camera_points @ CAMERA_FROM_WORLD + CAMERA_POSITION


def coco_content() -> dict:
    """Two people in one photo, whole-numbered as COCO's are."""
    keypoints = np.concatenate([points(COCO) - 0.5, np.full((17, 1), 2)], 1).astype(int)
    people = [
        {"id": number, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
        for number in (1, 2)
    ]
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [person | {"keypoints": keypoints.ravel().tolist()} for person in people],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO}, {"id": 2, "name": "dog"}],
    }


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_coco(folder: Path) -> Path:
    write_photo(folder / "train2017" / "a.jpg")
    return write_json(folder / "annotations" / "person_keypoints_train2017.json", coco_content())


def write_ccp(folder: Path) -> Path:
    write_photo(folder / "images" / "a.jpg")
    (folder / "labels").mkdir()
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:20], labels[20:30], labels[30:40] = 41, 2, 25
    Image.fromarray(labels).save(folder / "labels" / "a.png")
    write_json(folder / "keypoints.json", coco_content())
    return folder


def write_lsp(folder: Path) -> Path:
    """Two people, the second with a hidden wrist."""
    for number in (1, 2):
        write_photo(folder / "images" / f"im{number:04d}.jpg")
    joints = np.zeros((3, 14, 2))
    joints[:2] = points(LSP).T[:, :, None]
    joints[2, LSP.index("left_wrist"), 1] = 1
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    return folder


def write_lspet(folder: Path) -> Path:
    """Two people, the second with a missing wrist."""
    for number in (1, 2):
        write_photo(folder / "images" / f"im{number:05d}.jpg")
    joints = np.zeros((14, 3, 2))
    joints[:, :2] = points(LSP)[:, :, None]
    joints[:, 2] = 1
    joints[LSP.index("left_wrist"), :, 1] = 0
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    return folder


def struct_array(records: list[dict]) -> np.ndarray:
    """MATLAB's struct array, (1, N)."""
    array = np.empty((1, len(records)), dtype=[(name, object) for name in records[0]])
    for column, record in enumerate(records):
        array[0, column] = tuple(record.values())
    return array


def write_mpii_mat(folder: Path) -> Path:
    """A photo of one person, one of two (the second without joints), a test photo."""
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_photo(folder / "images" / name)
    pixels = points(MPII) + 0.5
    point = struct_array([
        {"x": x, "y": y, "id": row, "is_visible": "1" if row % 2 else np.zeros((0, 0))}
        for row, (x, y) in enumerate(pixels)
    ])
    person = {"annopoints": {"point": point}, "scale": 0.2, "objpos": {"x": 40.5, "y": 50.5}}
    faceless = {"annopoints": np.zeros((0, 0)), "scale": np.zeros((0, 0)), "objpos": np.zeros((0, 0))}
    photos = struct_array([
        {"image": {"name": "a.jpg"}, "annorect": struct_array([person])},
        {"image": {"name": "b.jpg"}, "annorect": struct_array([person, faceless])},
        {"image": {"name": "c.jpg"}, "annorect": struct_array([{"scale": 1.0, "objpos": {"x": 1, "y": 1}}])},
    ])
    release = {"annolist": photos, "img_train": np.array([[1, 1, 0]])}
    path = folder / "mpii_human_pose_v1_u12_1.mat"
    scipy.io.savemat(path, {"RELEASE": release})
    return path


def write_mpii_json(folder: Path) -> Path:
    write_photo(folder / "images" / "a.jpg")
    person = {
        "image": "a.jpg", "joints": (points(MPII) + 0.5).tolist(), "joints_vis": [1] * 16, "scale": 0.2,
        "center": [40.5, 50.5],
    }  # fmt: skip
    return write_json(folder / "annot" / "train.json", [person, person])


H36M_NAMES = ["S9_SittingDown_1.54138969_000001.jpg", "S9_Directions_1.54138969_000006.jpg"]


def write_h36m_cameras(path: Path) -> None:
    camera = {
        "R": CAMERA_FROM_WORLD.T, "T": 1000 * CAMERA_POSITION[:, None], "f": np.array([[1145.0], [1143.0]]),
        "c": np.array([[512.0], [515.0]]),
    }  # fmt: skip
    path.write_bytes(pickle.dumps({("S9", "54138969"): camera}))


def write_h36m_npz(folder: Path) -> Path:
    """In millimetres, to be told from metres."""
    nested = [f"S9/{name.rsplit('_', 1)[0]}/{name}" for name in H36M_NAMES]
    for name in nested:
        write_photo(folder / "images" / name)
    (folder / "annotation_body3d" / "fps50").mkdir(parents=True)
    write_h36m_cameras(folder / "annotation_body3d" / "cameras.pkl")
    path = folder / "annotation_body3d" / "fps50" / "h36m_test.npz"
    np.savez(
        path,
        imgname=np.array(nested),
        center=np.full((2, 2), 50.0),
        scale=np.full(2, 0.3),
        part=np.stack([with_ones(points(H36M))] * 2),
        S=np.stack([with_ones(1000 * points_3d(H36M))] * 2),
    )
    return path


def write_h36m_json(folder: Path) -> Path:
    write_photo(folder / H36M_NAMES[0])
    write_h36m_cameras(folder / "cameras.pkl")
    frame = {
        "id": 1, "image_id": 1, "bbox": [1, 2, 30, 40], "keypoints": with_ones(points(H36M)).ravel().tolist(),
        "keypoints_3d": with_ones(world(points_3d(H36M))).ravel().tolist(),
    }  # fmt: skip
    return write_json(
        folder / "h36m.json", {"images": [{"id": 1, "file_name": H36M_NAMES[0]}], "annotations": [frame]}
    )


def write_mpi_train(folder: Path) -> Path:
    """Three frames of camera 0: the person, the same moved by 1 mm, moved by 1 m."""
    sequence = folder / "S1" / "Seq1"
    for frame in (1, 2, 3):
        write_photo(sequence / "imageFrames" / "video_0" / f"frame_{frame:06d}.jpg")
    flat, spatial = np.zeros((3, 28, 2)), np.zeros((3, 28, 3))
    flat[:, MPI_ROWS_OF_28] = points(MPI_17)
    spatial[:, MPI_ROWS_OF_28] = 1000 * points_3d(MPI_17)
    spatial[1] += 1
    spatial[2] += [1000, 0, 0]
    cells = {name: np.empty((14, 1), object) for name in ("annot2", "annot3", "univ_annot3")}
    for camera in range(14):
        cells["annot2"][camera, 0] = flat.reshape(3, 56)
        cells["annot3"][camera, 0] = spatial.reshape(3, 84)
        cells["univ_annot3"][camera, 0] = 1.1 * spatial.reshape(3, 84)
    scipy.io.savemat(sequence / "annot.mat", cells | {"frames": np.arange(3), "cameras": np.arange(14)})
    lens = "1500 0 1024 0 0 1502 1051 0 0 0 1 0 0 0 0 1"
    lines = [
        "name          0",
        "  sensor        10 10",
        "  size          2048 2048",
        f"  intrinsic     {lens}",
    ]
    (sequence / "camera.calibration").write_text(
        "\n".join(["Skeletool Camera Calibration File V1.0", *lines, ""])
    )
    return folder


def mpi_test_arrays() -> dict[str, np.ndarray]:
    """Two frames, the second invalid, in MATLAB's order of axes."""
    flat = np.stack([points(MPI_17).T] * 2, -1)[:, :, None]
    spatial = np.stack([1000 * points_3d(MPI_17).T] * 2, -1)[:, :, None]
    return {
        "annot2": flat, "annot3": 1.1 * spatial, "univ_annot3": spatial, "valid_frame": np.array([[1, 0]]),
        "activity_annotation": np.array([[3, 3]]),
    }  # fmt: skip


def write_mpi_test(folder: Path) -> Path:
    sequence = folder / "mpi_inf_3dhp_test_set" / "TS1"
    write_photo(sequence / "imageSequence" / "img_000001.jpg")
    scipy.io.savemat(sequence / "annot_data.mat", mpi_test_arrays())
    return folder


def write_mpi_npz(folder: Path) -> Path:
    name = "S4_Seq2_Cam0_001033.jpg"
    write_photo(folder / name)
    lens = {"f": np.array([[1500.0], [1502.0]]), "c": np.array([[1024.0], [1051.0]])}
    (folder / "cameras_train.pkl").write_bytes(pickle.dumps({"S4_Seq2_Cam0": lens}))
    np.savez(
        folder / "train.npz",
        imgname=np.array([name]),
        center=np.full((1, 2), 50.0),
        scale=np.full(1, 0.3),
        part=with_ones(points(MPI_17))[None],
        S=with_ones(points_3d(MPI_17))[None],
    )
    return folder / "train.npz"


def write_pw3d(folder: Path) -> Path:
    """One woman in two frames, the second without a valid camera; pickled as Python 2 did."""
    write_photo(folder / "imageFiles" / "downtown_walk_00" / "image_00000.jpg")
    camera = np.eye(4)
    camera[:3, :3], camera[:3, 3] = CAMERA_FROM_WORLD, -CAMERA_FROM_WORLD @ CAMERA_POSITION
    detected = with_ones(points(OPENPOSE_18)).T
    detected[2] = 0.8
    content = {
        "sequence": "downtown_walk_00",
        "poses": [np.stack([WORLD_POSE] * 2)],
        "betas": [np.arange(10.0)],
        "trans": [np.zeros((2, 3))],
        "poses2d": [np.stack([detected] * 2)],
        "cam_poses": np.stack([camera] * 2),
        "cam_intrinsics": np.array([[1960.0, 0, 540], [0, 1962.0, 960], [0, 0, 1]]),
        "campose_valid": [np.array([1, 0])],
        "genders": ["f"],
        "jointPositions": [np.stack([world(points_3d(SMPL)).ravel()] * 2)],
    }
    path = folder / "sequenceFiles" / "test" / "downtown_walk_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return folder / "sequenceFiles" / "test"


def write_spin(folder: Path) -> Path:
    """The first person annotated in full; the second lacks the right ankle, which OpenPose saw."""
    for name in ("a.jpg", "b.jpg"):
        write_photo(folder / "images" / name)
    part = np.stack([with_ones(points(SPIN))] * 2)
    part[1, 0] = 0
    openpose = np.zeros((2, 25, 3))
    openpose[1, 11] = [*POINTS["right_ankle"], 0.6]
    np.savez(
        folder / "train.npz",
        imgname=np.array([b"images/a.jpg", b"images/b.jpg"]),
        center=np.full((2, 2), 50.0),
        scale=np.full(2, 0.3),
        part=part,
        openpose=openpose,
        S=np.stack([with_ones(points_3d(SPIN))] * 2),
        pose=np.stack([WORLD_POSE] * 2),
        shape=np.ones((2, 10)),
        has_smpl=np.array([1, 0]),
        gender=np.array(["m", "f"]),
    )
    return folder / "train.npz"


def copy_lspet_rows(source: Path, folder: Path, rows: range) -> Path:
    """A few rows of the genuine data set, the whole of which takes seconds to read."""
    joints_all = scipy.io.loadmat(source / "joints.mat")["joints"]
    (folder / "images").mkdir(parents=True)
    for number, row in enumerate(rows, start=1):
        (folder / "images" / f"im{number:05d}.jpg").symlink_to(source / "images" / f"im{row + 1:05d}.jpg")
    scipy.io.savemat(folder / "joints.mat", {"joints": joints_all[:, :, list(rows)]})
    return folder


LAYOUTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "ccp": ("ccp", write_ccp),
    "coco": ("coco", write_coco),
    "h36m npz": ("h36m", write_h36m_npz),
    "h36m json": ("h36m", write_h36m_json),
    "lsp": ("lsp", write_lsp),
    "lspet": ("lspet", write_lspet),
    "mpi_inf_3dhp npz": ("mpi_inf_3dhp_npz", write_mpi_npz),
    "mpi_inf_3dhp test": ("mpi_inf_3dhp_test", write_mpi_test),
    "mpi_inf_3dhp train": ("mpi_inf_3dhp_train", write_mpi_train),
    "mpii mat": ("mpii", write_mpii_mat),
    "mpii json": ("mpii", write_mpii_json),
    "pw3d": ("pw3d", write_pw3d),
    "spin": ("spin", write_spin),
}
"""Layout -> (name of its reader, what writes it to a folder and returns what the reader takes)."""
