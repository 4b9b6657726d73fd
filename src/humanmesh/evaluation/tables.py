"""Results as text and Markdown; a table holds results of one protocol only."""

from collections.abc import Sequence

from humanmesh.errors import BadInputError
from humanmesh.evaluation.published import Published, published_beside
from humanmesh.evaluation.results import Figure, Result


def checked_alike(results: Sequence[Result]) -> Sequence[Result]:
    """The results, if they may stand in one table.

    Raises:
        BadInputError: where their protocols differ, saying in what.
    """
    first = results[0].protocol
    for result in results[1:]:
        if result.protocol != first:
            found = f"{first.sentence} and {result.protocol.sentence}"
            raise BadInputError("One table for unlike protocols", found, "Make a table of each.")
    return results


def figure_text(figure: Figure) -> str:
    """The value with its interval: "61.2 (59.8 to 62.5)"."""
    digits = 3 if not figure.unit else 1
    text = f"{figure.value:.{digits}f}"
    if figure.interval is None:
        return text
    return f"{text} ({figure.interval.low:.{digits}f} to {figure.interval.high:.{digits}f})"


def rows_of(results: Sequence[Result]) -> list[list[str]]:
    """Header, our systems, and the published ones, as cells.

    Raises:
        BadInputError: where the protocols differ.
    """
    checked_alike(results)
    figures = results[0].figures
    header = [
        "system",
        *(f"{figure.name} [{figure.unit}]" if figure.unit else figure.name for figure in figures),
    ]
    ours = [[result.system, *(figure_text(figure) for figure in result.figures)] for result in results]
    published = [_published_row(row, figures) for row in published_beside(results[0].protocol)]
    return [header, *ours, *published]


def _published_row(row: Published, figures: Sequence[Figure]) -> list[str]:
    cells = [f"{row.figures[figure.name]:g}" if figure.name in row.figures else "" for figure in figures]
    return [f"{row.system} (published: {row.source})", *cells]


def text_table(results: Sequence[Result]) -> str:
    """For a terminal: the protocol, who was measured, one line a figure, and what others printed."""
    lines = []
    for result in checked_alike(results):
        lines += [result.protocol.sentence, f"{result.system}: {account(result)}", ""]
        width = max(len(figure.name) for figure in result.figures)
        lines += [
            f"  {figure.name:{width}}  {figure_text(figure)} {figure.unit}".rstrip()
            for figure in result.figures
        ]
        if result.plausibility:
            lines += ["", plausibility_text(result)]
    beside = published_beside(results[0].protocol)
    names = [figure.name for figure in results[0].figures]
    if beside:
        lines += ["", "Published, each measured by its authors:"]
        for row in beside:
            values = ", ".join(f"{name} {row.figures[name]:g}" for name in names if name in row.figures)
            lines.append(f"  {row.system}: {values} ({row.source})")
    return "\n".join(lines)


def plausibility_text(result: Result) -> str:
    """Whether the bodies could be people, in one line."""
    texts = [f"{figure.name} {figure_text(figure)} {figure.unit}".rstrip() for figure in result.plausibility]
    return f"Could they be people: {', '.join(texts)}."


def account(result: Result) -> str:
    """How many people were measured, and how many not."""
    text = f"{result.people} people measured"
    if result.missing:
        text += f", {result.missing} of them without a prediction (wrong in every share, in no mean)"
    left_out = sum(result.left_out.values())
    if left_out:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in result.left_out.items())
        text += f"; the reader noted {reasons}"
    return f"{text}. In brackets: 95 % of 1,000 bootstrap draws."


def markdown_table(results: Sequence[Result]) -> str:
    """For a page."""
    header, *rows = rows_of(results)
    lines = [_markdown_row(header), _markdown_row(["---"] * len(header)), *map(_markdown_row, rows)]
    return "\n".join([
        *lines,
        "",
        f"Protocol: {results[0].protocol.sentence}",
        *(account(result) for result in results),
        *(f"{result.system}. {plausibility_text(result)}" for result in results if result.plausibility),
    ])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
