"""Which camera each photo is taken to have."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanmesh.errors import BadInputError

if TYPE_CHECKING:
    from humanmesh.files.intrinsics import Intrinsics
    from humanmesh.geometry.cameras import PhotoCamera


@dataclass(frozen=True)
class SourcedCamera:
    """A camera and where it comes from."""

    camera: "PhotoCamera"
    source: str
    """ "focal", "intrinsics", "exif", or "default" where nothing tells."""

    @property
    def is_known(self) -> bool:
        """False where it is a convention."""
        return self.source != "default"

    def fields(self) -> dict[str, Any]:
        """What the JSON on standard output says."""
        return {
            "focal_length": round(self.camera.focal_length, 3),
            "principal_point": [round(value, 3) for value in self.camera.principal_point],
            "pixel_aspect": round(self.camera.pixel_aspect, 6),
            "source": self.source,
        }


@dataclass(frozen=True)
class CameraChoice:
    """What was given on the command line for all photos."""

    focal_length: float | None
    """Pixels."""
    intrinsics: "Intrinsics | None"

    def of(self, photo: Path, width: int, height: int) -> SourcedCamera:
        """The camera of a photo of that many pixels: as given, by its EXIF tags, or the default.

        Raises:
            BadInputError: where what was given is no camera, or not this photo's.
        """
        from humanmesh.photos import checked_camera

        found = self._of(photo, width, height)
        checked_camera(found.camera, width, height)
        return found

    def _of(self, photo: Path, width: int, height: int) -> SourcedCamera:
        from humanmesh.geometry.cameras import centred_camera
        from humanmesh.photos import tagged_camera

        if self.intrinsics is not None:
            return SourcedCamera(self.intrinsics.camera_of(width, height), "intrinsics")
        if self.focal_length is not None:
            return SourcedCamera(centred_camera(width, height, self.focal_length), "focal")
        tagged = tagged_camera(photo, width, height)
        if tagged is not None:
            return SourcedCamera(tagged, "exif")
        return SourcedCamera(centred_camera(width, height), "default")


def camera_choice(focal_length: float | None, intrinsics: Path | None) -> CameraChoice:
    """What `--focal` and `--intrinsics` say.

    Raises:
        HumanMeshError: where both are given, or the file holds no camera.
    """
    if intrinsics is None:
        return CameraChoice(focal_length, None)
    if focal_length is not None:
        raise BadInputError("Camera", "both --focal and --intrinsics", "Give one of the two.")
    from humanmesh.files.intrinsics import read_intrinsics

    return CameraChoice(None, read_intrinsics(intrinsics))


def told_pitch(result: dict[str, Any]) -> str:
    """What `--upright` did with the people of a photo or film, in words; empty where it was not asked for."""
    pitch = result.get("camera_pitch")
    if pitch is None:
        return ""
    return (
        f", turned upright by {math.degrees(pitch):.0f} degrees" if pitch else ", nobody stands: not turned"
    )
