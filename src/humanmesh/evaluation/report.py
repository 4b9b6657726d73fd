"""One self-contained HTML page: figures, errors by joint, action, size and score, curves, and pictures of people."""

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humanmesh.evaluation import metrics
from humanmesh.evaluation.gallery import Exhibit
from humanmesh.evaluation.occlusion import Curve
from humanmesh.evaluation.results import QUANTITIES, PersonErrors, Result, by_quantity, person_errors
from humanmesh.evaluation.tables import account, markdown_table, plausibility_text, rows_of
from humanmesh.files.images import bytes_of_pixels
from humanmesh.files.writing import whole_file

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 460, 240, 56, 36
_COLORS = tuple(f"var(--line-{number})" for number in range(4))
"""Of the style sheet, light or dark."""
_PICTURES = ("photo", "overlay", "front", "side")
"""What an exhibit's pictures show."""


@dataclass(frozen=True)
class Report:
    """What stands on the page."""

    result: Result
    exhibits: Sequence[Exhibit] = ()
    curves: Sequence[Curve] = field(default_factory=tuple)


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]


def write_report(report: Report, folder: Path) -> Path:
    """Write report.html and report.md into a folder that exists; returns the page."""
    page = folder / "report.html"
    for path, text in (
        (page, html_page(report)),
        (folder / "report.md", markdown_table([report.result]) + "\n"),
    ):
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    return page


def html_page(report: Report) -> str:
    """The whole page; it loads nothing from anywhere."""
    result = report.result
    errors = person_errors(result)
    parts = [
        f"<h1>{html.escape(result.protocol.name)}: {html.escape(result.system)}</h1>",
        f"<p>{html.escape(result.protocol.sentence)}</p><p>{html.escape(account(result))}</p>",
        _table(rows_of([result])),
        f"<p>{html.escape(plausibility_text(result))}</p>" if result.plausibility else "",
        _distribution(errors),
        _by_joint(result),
        _by_action(result),
        _by_quantity(result, errors),
        _hidden(report.curves),
        _pictures(report.exhibits, errors),
    ]
    return _PAGE.format(title=html.escape(result.protocol.name), body="\n".join(filter(None, parts)))


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ --ground: #fff; --ink: #222; --soft: #555; --line: #ddd;
  --line-0: #1f6fb2; --line-1: #d1582a; --line-2: #4d8f3a; --line-3: #7a53a6; color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #16171a; --ink: #e8e7e4; --soft: #a5a6ab; --line: #36383d;
  --line-0: #64aae6; --line-1: #ee8559; --line-2: #86c474; --line-3: #b595dc; }} }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  background: var(--ground); color: var(--ink); overflow-wrap: anywhere; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
.wide {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; }}
td, th {{ border-bottom: 1px solid var(--line); padding: 0.3rem 0.6rem; text-align: left; }}
td {{ min-width: 5rem; }}
.plots {{ display: flex; flex-wrap: wrap; gap: 1rem; }} figure {{ margin: 0; max-width: 100%; }}
figcaption {{ font-size: 0.85rem; max-width: 29rem; }} .people figcaption {{ max-width: none; margin-bottom: 4px; }}
.row {{ display: flex; flex-wrap: wrap; align-items: flex-start; gap: 4px; margin-bottom: 1rem; }}
.row img {{ width: calc(25% - 3px); min-width: 7rem; }}
svg {{ display: block; max-width: 100%; height: auto; overflow: visible; }} svg line {{ stroke: var(--line); }}
svg text {{ font: 11px system-ui, sans-serif; fill: var(--soft); }}
</style></head><body>
{body}
</body></html>
"""


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in others
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _distribution(errors: PersonErrors) -> str:
    values = errors.values[~errors.values.isnan()].sort().values
    if not len(values):
        return ""
    steps = torch.linspace(0, 1, 101, dtype=torch.float64)
    at = torch.quantile(values, steps)
    points = list(zip(at.tolist(), (100 * steps).tolist(), strict=True))
    plot = svg_plot([Line("people", points)], f"{errors.name} [{errors.unit}]", "people with less [%]")
    return f"<h2>How errors are spread</h2>{plot}"


def _by_joint(result: Result) -> str:
    parts = [
        _bars(f"{name}, by joint", values)
        for name, values in result.by_joint.items()
        if not all(math.isnan(value) for value in values.values())
    ]
    return f'<h2>By joint</h2><div class="plots">{"".join(parts)}</div>' if parts else ""


def _by_action(result: Result) -> str:
    if not result.by_action:
        return ""
    names = list(result.by_action)
    actions = list(next(iter(result.by_action.values())))
    rows = [
        ["action", *names],
        *([action, *(f"{result.by_action[name][action]:.1f}" for name in names)] for action in actions),
    ]
    return f"<h2>By action</h2>{_table(rows)}"


def _by_quantity(result: Result, errors: PersonErrors) -> str:
    plots = []
    for name, bins in by_quantity(result).items():
        line = Line(name, [(amount, error) for amount, error, _ in bins])
        said = html.escape(_reliability(name, result.rows[name], errors))
        plots.append(
            f"<figure>{svg_plot([line], QUANTITIES[name], errors.label)}<figcaption>{said}</figcaption></figure>"
        )
    title = "By distance, size, visibility and score"
    return f'<h2>{title}</h2><div class="plots">{"".join(plots)}</div>' if plots else ""


def _reliability(name: str, quantity: Float[Tensor, "people"], errors: PersonErrors) -> str:
    known = ~(errors.values.isnan() | quantity.isnan())
    rho = metrics.rank_correlation(quantity[known], errors.values[known])
    meaning = " (-1: the score ranks errors perfectly; 0: it says nothing)" if name == "score" else ""
    return f"Mean error of five equal parts of the people. Spearman's rank correlation {rho:.2f}{meaning}."


def _hidden(curves: Sequence[Curve]) -> str:
    if not curves:
        return ""
    lines = [Line(curve.way, [(100 * share, error) for share, error in curve.points]) for curve in curves]
    label = f"{curves[0].name} [{curves[0].unit}]"
    plot = svg_plot(lines, "share of the person's box that is hidden [%]", label)
    return f"<h2>As less of the person is seen</h2>{plot}<p>All joints count, seen or not.</p>"


def _pictures(exhibits: Sequence[Exhibit], errors: PersonErrors) -> str:
    if not exhibits:
        return ""
    rows = []
    for exhibit in exhibits:
        images = "".join(
            f'<img alt="{name}" src="{_png(picture)}">'
            for name, picture in zip(_PICTURES, exhibit.pictures, strict=False)
        )
        caption = f"Percentile {exhibit.percentile}: {errors.name} {exhibit.error:.1f} {errors.unit}, {exhibit.record}"
        rows.append(
            f'<figure class="people"><figcaption>{html.escape(caption)}</figcaption><div class="row">{images}</div></figure>'
        )
    return f"<h2>People at percentiles of error</h2><p>Photo, overlay, front, side.</p>{''.join(rows)}"


def _png(picture: Float[Tensor, "3 height width"]) -> str:
    file = io.BytesIO()
    Image.fromarray(bytes_of_pixels(picture)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _bars(title: str, values: dict[str, float]) -> str:
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    largest = max(known.values()) or 1.0
    height = 18 * len(known) + 24
    parts = [f'<text x="0" y="12">{html.escape(title)}</text>']
    for row, (name, value) in enumerate(known.items()):
        y = 24 + 18 * row
        width = 220 * value / largest
        parts.append(
            f'<text x="0" y="{y + 11}">{html.escape(name)}</text>'
            f'<rect x="110" y="{y}" width="{width:.1f}" height="13" style="fill:{_COLORS[0]}"/>'
            f'<text x="{114 + width:.1f}" y="{y + 11}">{value:.1f}</text>'
        )
    return _svg(390, height, title, parts)


def svg_plot(lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Lines over axes with five ticks each; y starts at 0."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high, top = min(xs), max(xs), max(ys) or 1.0
    high = high if high > low else low + 1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - 12),
            (_HEIGHT - _BOTTOM) - y / top * (_HEIGHT - _BOTTOM - 22),
        )

    parts = [*_axes(place, (low, high, top)), *_labels(x_label, y_label)]
    for number, line in enumerate(lines):
        color = _COLORS[number % len(_COLORS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline points="{path}" style="fill:none;stroke:{color};stroke-width:2"/>')
        if len(lines) > 1:
            name = html.escape(line.name)
            parts.append(
                f'<text x="{_LEFT + 10 + 90 * number}" y="{_HEIGHT - _BOTTOM - 8}" style="fill:{color}">{name}</text>'
            )
    return _svg(_WIDTH, _HEIGHT, f"{y_label} over {x_label}", parts)


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """A drawing of that size in pixels, or smaller where the window is narrower."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'


def _axes(
    place: Callable[[float, float], tuple[float, float]], limits: tuple[float, float, float]
) -> list[str]:
    low, high, top = limits
    parts = []
    for tick in range(5):
        x, y = low + tick / 4 * (high - low), tick / 4 * top
        px, py = place(x, 0)[0], place(low, y)[1]
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{py:.1f}" y2="{py:.1f}" />',
            f'<text x="{px:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{x:.3g}</text>',
            f'<text x="{_LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{y:.3g}</text>',
        ]
    return parts


def _labels(x_label: str, y_label: str) -> list[str]:
    return [
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{html.escape(x_label)}</text>',
        f'<text x="4" y="12">{html.escape(y_label)}</text>',
    ]
