"""The page as a user meets it: opened from the disk in Chromium, looked at, typed at."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from browser import chromium
from humanmesh.files.body_models import load_body_data
from humanmesh.files.rigs import y_up_from_camera
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.render.overlay import draw_people
from humanmesh.render.rasterizer import rasterize
from humanmesh.web.page import PEOPLE_FORMAT, clip_page, photo_page, write_page
from made_people import CAMERA, SIZE, clip_of_two, grey_of, two_people

WIDTH, HEIGHT = SIZE
HOSTILE = "</script><script>hacked = 1</script><b>\"a'.jpg"
MARGIN = 20
"""CSS pixels round the photo in the stage: a stage larger by this on each side shows one photo pixel a pixel."""

PITCH = 0.2
"""Radians by which a camera looks down."""
SAMPLES = 4
"""A pixel in each direction, of the silhouettes to compare with."""


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def people(body):
    return two_people(body)


@pytest.fixture(scope="module")
def clip(body):
    return clip_of_two(body)


@pytest.fixture(scope="module")
def photo():
    """Smooth, so that JPEG keeps it."""
    y, x = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, 1, WIDTH), indexing="ij")
    return torch.stack([0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.8 - 0.5 * x])


@pytest.fixture(scope="module")
def pages(tmp_path_factory, people, clip, photo):
    folder = tmp_path_factory.mktemp("pages")
    write_page(folder / "people.html", photo_page(HOSTILE, people, photo))
    write_page(folder / "clip.html", clip_page("clip.mp4", clip))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def people_page(browser, pages):
    return page_at_rest(browser, pages / "people.html")


@pytest.fixture
def film_page(browser, pages):
    return page_at_rest(browser, pages / "clip.html")


AT_REST = """
    for (const box of document.querySelectorAll("[data-style]")) box.checked = box.defaultChecked;
    document.getElementById("opacity").value = 90;
    document.activeElement.blur();
    humanmesh.dress();
    humanmesh.list.everyone();
    humanmesh.timeline.toFrame(0);
    humanmesh.toView("photo");
"""


def page_at_rest(browser, path):
    """The page as it opens, in a window with a stage in which one photo pixel is one pixel.

    Opening takes far longer than all that tests do with a page, so it is opened only where another was.
    """
    browser.resize(420, 600)
    if browser.ask("return location.href") == path.as_uri():
        browser.ask(AT_REST)
    else:
        browser.open(path)
    size = f"width:{WIDTH + 2 * MARGIN}px;height:{HEIGHT + 2 * MARGIN}px"
    browser.ask(f"document.querySelector('.stage').style.cssText = '{size}'")
    browser.wait_for(f"humanmesh.stage.canvas.width === {WIDTH + 2 * MARGIN}")
    return browser


def picture(browser) -> np.ndarray:
    """(height, width, 4) of the photo's rectangle of the canvas, RGB times alpha and alpha, in [0, 1]."""
    data = browser.ask(
        "const { stage } = humanmesh; stage.drawNow(); const copy = document.createElement('canvas');"
        "copy.width = stage.canvas.width; copy.height = stage.canvas.height;"
        "copy.getContext('2d').drawImage(stage.canvas, 0, 0); return copy.toDataURL()"
    )
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA")) / 255
    return pixels[MARGIN:-MARGIN, MARGIN:-MARGIN]


def silhouette_of(*vertices: np.ndarray, faces: torch.Tensor, camera: PhotoCamera = CAMERA) -> np.ndarray:
    """Share of each pixel that the bodies cover in the photo's camera, by the project's rasteriser."""
    seen = np.zeros((HEIGHT * SAMPLES, WIDTH * SAMPLES), bool)
    for body in vertices:
        screen = np.concatenate([SAMPLES * camera.project(body), body[:, 2:]], 1).astype(np.float32)
        fragments = rasterize(torch.from_numpy(screen)[None], faces, *seen.shape)
        seen |= (fragments.face_index >= 0)[0].numpy()
    return inner(seen.reshape(HEIGHT, SAMPLES, WIDTH, SAMPLES).mean((1, 3)))


def inner(shares: np.ndarray) -> np.ndarray:
    """Without the outermost pixels, where the page draws the photo's edge."""
    return shares[2:-2, 2:-2]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two silhouettes whose edges cover pixels in part."""
    return np.minimum(first, second).sum() / np.maximum(first, second).sum()


def bodies_alone(browser) -> np.ndarray:
    """The silhouettes in the page: bodies are opaque, and nothing else is there once the photo is off."""
    browser.ask("document.getElementById('opacity').value = 100; humanmesh.dress()")
    if browser.ask("return humanmesh.switchOf('photo').checked"):
        browser.press("p")
    return inner(picture(browser)[..., 3])


def test_page_opens_from_the_disk_without_complaint_and_a_hostile_title_stays_a_text(people_page):
    assert people_page.complaints() == []
    assert people_page.ask("return document.getElementById('title').textContent") == HOSTILE
    assert people_page.ask("return document.title") == HOSTILE
    assert people_page.ask("return typeof hacked") == "undefined"
    assert people_page.ask("return document.getElementById('message').hidden")
    seen = people_page.screen()[70 : 70 + HEIGHT, 50 : 50 + WIDTH]
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 1000


def test_bodies_lie_over_the_photo_as_in_the_picture_that_predict_draws(people_page, people, photo, body):
    vertices = torch.stack([torch.from_numpy(person.vertices) for person in people])
    expected = draw_people(photo, vertices, body.faces, CAMERA.focal_length, CAMERA.principal_point)
    found = torch.from_numpy(picture(people_page)[..., :3]).permute(2, 0, 1)
    difference = (found - expected).abs()
    # The edges of the photo, where a line runs, and those of the bodies, antialiased differently, may differ more.
    assert difference[:, 2:-2, 2:-2].mean() < 0.01
    assert difference[:, 2:-2, 2:-2].quantile(0.98) < 0.04


def test_silhouettes_agree_with_the_rasteriser_for_all_and_for_one_alone(people_page, people, body):
    everybody = silhouette_of(*(person.vertices for person in people), faces=body.faces)
    assert overlap(bodies_alone(people_page), everybody) > 0.97
    people_page.press("nn")
    assert overlap(bodies_alone(people_page), silhouette_of(people[1].vertices, faces=body.faces)) > 0.97
    assert people_page.ask("return humanmesh.list.shown") == [False, True]
    people_page.press("a")
    assert overlap(bodies_alone(people_page), everybody) > 0.97


def test_where_pixels_are_not_square_silhouettes_agree_too(browser, pages, people, photo, body):
    camera = replace(CAMERA, pixel_aspect=0.8)
    seen = [replace(person, camera=camera) for person in people]
    write_page(pages / "aspect.html", photo_page("Aspect", seen, photo))
    page = page_at_rest(browser, pages / "aspect.html")
    expected = silhouette_of(*(person.vertices for person in people), faces=body.faces, camera=camera)
    assert overlap(bodies_alone(page), expected) > 0.97


def test_every_switch_changes_the_picture_and_changes_it_back(people_page):
    before = picture(people_page)
    for key in "pbwsc":
        people_page.press(key)
        assert (picture(people_page) != before).any(), key
        people_page.press(key)
        np.testing.assert_array_equal(picture(people_page), before, err_msg=key)
    people_page.press("[[[")
    assert people_page.ask("return document.getElementById('opacity-value').textContent") == "60 %"
    people_page.ask("document.querySelector('[data-style=skeleton]').click()")
    assert (picture(people_page) != before).any()
    assert people_page.complaints() == []


def test_walking_round_changes_the_picture_and_the_first_view_comes_back_to_the_pixel(people_page):
    before = picture(people_page)
    pressed = "return document.querySelector('[data-view][aria-pressed=true]')?.dataset.view"
    for key in "2345":
        people_page.press(key)
        assert (picture(people_page) != before).mean() > 0.1, key
    assert people_page.ask(pressed) == "top"
    people_page.press("\ue012\ue013++")  # arrows to the left and up
    assert people_page.ask(pressed) is None
    people_page.press("1")
    np.testing.assert_array_equal(picture(people_page), before)
    assert people_page.ask(pressed) == "photo"


def test_side_view_is_a_quarter_turn_after_which_the_front_looks_to_the_right(people_page, people):
    people_page.press("n3")
    joints = np.array(
        people_page.ask(
            "humanmesh.stage.aim(); return humanmesh.views[0].joints()"
            ".map((joint) => joint.project(humanmesh.stage.camera).toArray())"
        )
    )
    # Along the picture's width runs what was the depth; the nearer, the farther right.
    depths = people[0].joints[:, 2]
    assert np.corrcoef(joints[:, 0], depths)[0, 1] < -0.97


@pytest.mark.parametrize("key", ["2", "3", "4"])
def test_where_the_camera_looks_down_views_from_the_sides_stand_upright_and_the_photos_stays(
    key, browser, pages, people, photo
):
    plain = picture(page_at_rest(browser, pages / "people.html"))
    pitched = [replace(person, camera_pitch=PITCH) for person in people]
    write_page(pages / "pitched.html", photo_page("Pitched", pitched, photo))
    page = page_at_rest(browser, pages / "pitched.html")
    np.testing.assert_allclose(picture(page), plain, atol=0.01)
    page.press(key)
    viewer = Rotation.from_quat(page.ask("return humanmesh.stage.viewer().toArray()"))
    np.testing.assert_allclose(viewer.apply([0, 1, 0]), [0, np.cos(PITCH), np.sin(PITCH)], atol=1e-6)


def exported(browser, suffix: str, numbers: list[int]) -> bytes:
    script = f"""
        const {{ EXPORTS }} = await import("humanmesh/exports.js");
        const blob = await EXPORTS.{suffix}(humanmesh, {numbers});
        const bytes = new Uint8Array(await blob.arrayBuffer());
        let text = "";
        for (let start = 0; start < bytes.length; start += 8192) {{
          text += String.fromCharCode(...bytes.subarray(start, start + 8192));
        }}
        return btoa(text);
    """
    return base64.b64decode(browser.ask(f"return (async () => {{ {script} }})()"))


def test_exports_hold_who_is_shown_where_the_photo_saw_them(people_page, people):
    lines = exported(people_page, "obj", [0, 1]).decode().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    expected = np.concatenate([person.vertices for person in people]) @ y_up_from_camera()
    np.testing.assert_allclose(vertices, expected, atol=1e-4)
    faces = np.array([line.split()[1:] for line in lines if line.startswith("f ")], int) - 1
    np.testing.assert_array_equal(faces[: len(faces) // 2], people[0].faces)
    np.testing.assert_array_equal(faces[len(faces) // 2 :], people[1].faces + len(people[0].vertices))
    one = json.loads(exported(people_page, "json", [1]))
    np.testing.assert_allclose(one["translation"], people[1].translation, rtol=1e-6)
    both = json.loads(exported(people_page, "json", [0, 1]))
    assert both["format"] == PEOPLE_FORMAT
    assert both["people"][1] == one
    glb = trimesh.load(io.BytesIO(exported(people_page, "glb", [1])), file_type="glb")
    assert len(glb.geometry) == 1
    rest = trimesh.load(io.BytesIO(exported(people_page, "glb", [0, 1])), file_type="glb")
    assert len(rest.geometry) == 2


def test_help_opens_and_closes_by_keys_and_every_control_has_a_name(people_page):
    people_page.press("?")
    assert people_page.ask("return document.getElementById('help').open")
    assert people_page.ask("return document.querySelectorAll('#shortcuts dt').length") >= 14
    people_page.press("\ue00c")  # Escape
    assert not people_page.ask("return document.getElementById('help').open")
    nameless = people_page.ask(
        "return [...document.querySelectorAll('button, select, input')].filter((control) =>"
        " !(control.ariaLabel || control.textContent.trim() || control.labels?.length)).map((control) => control.outerHTML)"
    )
    assert nameless == []


def test_frames_of_a_clip_agree_with_the_rasteriser_and_keys_step_and_play(film_page, clip, body):
    page = film_page
    assert page.ask("return document.getElementById('timeline').hidden") is False
    page.press("......")
    frame = 6
    vertices = [
        clip.pose(person, slice(frame - person.first_frame, frame - person.first_frame + 1)).vertices[0]
        for person in clip.people
    ]
    page.ask("return humanmesh.film.image(6).then(() => new Promise(requestAnimationFrame))")
    corner = picture(page)[2:9, 2:9, :3]
    np.testing.assert_allclose(corner, grey_of(frame) / 255, atol=0.01)
    expected = silhouette_of(*(some.numpy() for some in vertices), faces=body.faces)
    assert overlap(bodies_alone(page), expected) > 0.97
    page.press(",,,,")
    assert page.ask("return humanmesh.views.map((view) => view.isPresent)") == [True, False]
    page.press(" ")
    page.wait_for("humanmesh.timeline.frame !== 2")
    page.press(" ")
    assert page.ask("return humanmesh.timeline.isPlaying") is False


def test_page_fits_every_width_in_both_themes_with_text_that_can_be_read(film_page):
    browser = film_page
    browser.ask("document.querySelector('.stage').style.cssText = ''")
    for width, scheme in ((320, "light"), (390, "dark"), (844, "light"), (1280, "dark")):
        browser.resize(width, 700, scheme)
        assert browser.ask("return document.documentElement.scrollWidth") <= width
        grounds = [brightness_of(browser, "ground")]
        browser.press("t")
        grounds.append(brightness_of(browser, "ground"))
        assert (grounds[0] > grounds[1]) == (scheme == "light")
        browser.ask("delete document.documentElement.dataset.theme")
        for text, ground in (("ink", "ground"), ("soft", "ground"), ("accent", "ground"), ("soft", "raised")):
            assert contrast(brightness_of(browser, text), brightness_of(browser, ground)) >= 4.5, (
                text,
                scheme,
            )


def brightness_of(browser, name: str) -> float:
    """Relative luminance (WCAG 2.2) of a colour of the style sheet."""
    value = browser.ask(
        f"return getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()"
    )
    channels = np.array([int(value[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: float, second: float) -> float:
    light, dark = max(first, second), min(first, second)
    return (light + 0.05) / (dark + 0.05)


def test_without_webgl_the_page_says_so_and_shows_the_photo(browser, pages):
    command = "Page.addScriptToEvaluateOnNewDocument"
    source = "HTMLCanvasElement.prototype.getContext = () => null"
    added = browser.driver.execute_cdp_cmd(command, {"source": source})
    try:
        browser.open(pages / "people.html")
        assert "WebGL" in browser.ask("return document.getElementById('message').textContent")
        browser.wait_for("document.querySelector('.stage > img')?.naturalWidth")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
