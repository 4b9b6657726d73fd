"""Names of result files: NAME are those of a photo NAME.jpg or a film NAME.mp4, NAME.2 those of its second person."""

import re
from pathlib import Path


def result_name(photo: str) -> str:
    """What the files of the photo or film of that stem are called: as it is, but NAME_2 for NAME.2, which is somebody's of NAME."""
    return re.sub(r"\.([1-9]\d*)$", r"_\1", photo)


def photo_stems(result: str) -> list[str]:
    """Stems of photos whose files are called so, the likelier first."""
    return list(dict.fromkeys((result, re.sub(r"_([1-9]\d*)$", r".\1", result))))


def files_of_more(folder: Path, name: str, people: int) -> list[Path]:
    """Result files in the folder of further people of NAME than were found now: an earlier run found more."""
    numbered = re.compile(re.escape(name) + r"\.([1-9]\d*)\.\w+")
    files = [(numbered.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted(path for match, path in files if match and int(match[1]) > max(people, 1))
