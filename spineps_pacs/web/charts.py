"""Small line charts as SVG: shapes and text only, no style attribute, so that the page's policy lets them through."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, EDGE = 260, 70, 8


def line_chart(title: str, unit: str, points: Sequence[tuple[str, float | None]]) -> Markup:
    """Values over weeks; the line passes over a week without one. The caption says the last value in words."""
    known = [(n, value) for n, (_, value) in enumerate(points) if value is not None]
    if not known:
        return Markup("<p class='quiet'>{}: no value yet</p>").format(title)
    least, most = min(value for _, value in known), max(value for _, value in known)
    low, high = (least, most) if most > least else (least - 1, most + 1)
    places = [(_across(n, len(points)), _down(value, low, high)) for n, value in known]
    last = f"{_number(known[-1][1])} {unit} in {points[known[-1][0]][0]}"
    said = f"{title}: {last}, between {_number(least)} and {_number(most)}"
    return Markup(
        "<svg class='chart' viewBox='0 0 {} {}' role='img' aria-label='{}'>{}{}</svg><p class='caption'>{}</p>"
    ).format(WIDTH, HEIGHT, said, _line(places), _dots(places), said)


def _line(places: Sequence[tuple[float, float]]) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup("<polyline class='line' points='{}'/>").format(escape(path))


def _dots(places: Sequence[tuple[float, float]]) -> Markup:
    return Markup("").join(
        Markup("<circle class='dot' cx='{:.1f}' cy='{:.1f}' r='3'/>").format(x, y) for x, y in places
    )


def _across(n: int, count: int) -> float:
    return EDGE + n * (WIDTH - 2 * EDGE) / max(1, count - 1)


def _down(value: float, low: float, high: float) -> float:
    return EDGE + (high - value) / (high - low) * (HEIGHT - 2 * EDGE)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
