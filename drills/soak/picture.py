"""The picture of a soak: a panel for each group of series, over the hours of the run; each kill is a thin line.

Enters: series. Leaves: SVG, which a page shows as it is, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from drills.soak.trend import Sample, points

WIDTH, HEIGHT = 440, 210  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 130, 28, 24
COLUMNS = 2
POINTS = 240  # along the run: about a point for each pixel
# Okabe and Ito: told apart also by the colour-blind.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f", "#b8860b")
_STYLE = (
    "text{font:11px sans-serif;fill:#333}.title{font-weight:bold;font-size:13px}.axis{stroke:#999}.grid{stroke:#ddd}"
    ".kill{stroke:#bbb;stroke-dasharray:2 3}path{fill:none;stroke-width:1.5}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#333}.kill{stroke:#555}.paper{fill:#0d1117}}"
)

Panel = tuple[str, str, Mapping[str, Sequence[Sample]]]  # title, unit, samples by name


def svg(panels: Sequence[Panel], *, run_s: float, kills: Iterable[float]) -> str:
    """The whole picture; `kills` are seconds of the run."""
    rows = -(-len(panels) // COLUMNS)
    at = [*kills]
    body = "\n".join(
        f'<g transform="translate({WIDTH * (number % COLUMNS)} {HEIGHT * (number // COLUMNS)})">\n'
        f"{_panel(panel, run_s=run_s, kills=at)}\n</g>"
        for number, panel in enumerate(panels)
    )
    width, height = WIDTH * COLUMNS, HEIGHT * rows
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<style>{_STYLE}</style>\n<rect class="paper" width="{width}" height="{height}"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, *, run_s: float, kills: Sequence[float]) -> str:
    title, unit, series = panel
    highest = max((each.value for samples in series.values() for each in samples), default=0) or 1
    across, down = (WIDTH - LEFT - RIGHT) / run_s, (HEIGHT - TOP - BOTTOM) / highest
    base = HEIGHT - BOTTOM

    def x(at_s: float) -> str:
        return f"{LEFT + at_s * across:.1f}"

    def y(value: float) -> str:
        return f"{base - value * down:.1f}"

    end = x(run_s)
    head = title if unit == title else f"{title}, {unit}"
    lines = [f'<text class="title" x="{LEFT}" y="17">{escape(head)}</text>']
    lines += [f'<line class="kill" x1="{x(at)}" x2="{x(at)}" y1="{TOP}" y2="{base}"/>' for at in kills]
    for value in (highest / 2, highest):
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{end}" y1="{y(value)}" y2="{y(value)}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y(value)}" text-anchor="end" dy="4">{_number(value)}</text>')
    lines.append(f'<line class="axis" x1="{LEFT}" x2="{end}" y1="{base}" y2="{base}"/>')
    for share in (0, 0.5, 1):
        lines.append(
            f'<text x="{x(run_s * share)}" y="{base + 16}" text-anchor="middle">{run_s * share / 60:.0f} min</text>'
        )
    for number, (name, samples) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        for path in _paths(samples, run_s):
            drawn = "L".join(f"{x(each.at_s)} {y(each.value)}" for each in path)
            lines.append(f'<path stroke="{colour}" d="M{drawn}"/>')
        place = f'x="{WIDTH - RIGHT + 8}" y="{TOP + 8 + 15 * number}"'
        lines.append(f'<text {place} style="fill:{colour}">{escape(name)}</text>')
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _paths(samples: Sequence[Sample], run_s: float) -> list[list[Sample]]:
    """A line for each life of a process."""
    lives: dict[int, list[Sample]] = {}
    for each in points(samples, run_s / POINTS):
        lives.setdefault(each.life, []).append(each)
    return [*lives.values()]
