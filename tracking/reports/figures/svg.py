"""SVG of figures, for pages: a picture for each panel, so that panels stand below each other on a phone.

Dots of one colour are one path of points without length, whose round ends are drawn: a tenth of the size of circles.
All text is escaped here, and colours are classes, which the page's style defines for light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from tracking.reports.figures.figure import Figure, Panel, Point
from tracking.reports.figures.layout import Area, Shape, Spots, Stroke, Text, fit_margins, lay_out
from tracking.reports.figures.palette import DARK, LIGHT

_PHONE = 440
"""Width from which a panel is scrolled on a phone, and not reduced."""


def render_panel(panel: Panel, label: str) -> Markup:
    """Return a panel as an element `svg`; `label` is its name for screen readers."""
    panel = fit_margins(panel)
    width, height = panel.size
    shapes = Markup("").join(map(_render_shape, lay_out(panel)))
    style = f"max-width:{width * 1.25:.0f}px" + (f";min-width:{width * 0.8:.0f}px" if width > _PHONE else "")
    return Markup('<svg viewBox="0 0 {} {}" style="{}" role="img" aria-label="{}">{}</svg>').format(
        width, height, style, label, shapes
    )


def render_figure(figure: Figure) -> str:
    """Return a figure that stands alone, with its style; for notebooks."""
    panels = Markup("").join(render_panel(panel, f"{figure.title}: {panel.title}") for panel in figure.panels)
    style = Markup("<style>{}</style>").format(Markup(render_style(".kerastudy-figure")))
    return str(
        Markup('<div class="kerastudy-figure">{}<strong>{}</strong><div>{}</div>{}<p>{}</p></div>').format(
            style, figure.title, panels, render_legend(figure.legend), figure.summary
        )
    )


def render_legend(legend: Iterable[tuple[str, str]]) -> Markup:
    """Return the legend of a figure."""
    items = Markup("").join(
        Markup('<span><i class="key {}" aria-hidden="true"></i>{}</span>').format(colour, text)
        for colour, text in legend
    )
    return Markup('<p class="legend">{}</p>').format(items) if items else Markup("")


def render_style(place: str = ":root") -> str:
    """Return the style of figures below a selector: colours by name, for light and dark."""
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in names.items()) for names in (LIGHT, DARK))
    rules = [f"{place}{{{light}}}", f"@media (prefers-color-scheme: dark){{{place}{{{dark}}}}}"]
    # Paper is white, whatever the screen is.
    rules.append(f"@media print{{{place}{{{light}}}}}")
    rules.append("svg{width:100%;height:auto;font-family:system-ui,sans-serif}")
    rules.append("svg path{fill:none}svg rect{shape-rendering:crispEdges}")
    rules.append(
        "svg .o{stroke-linecap:round}svg .l{stroke-linejoin:round;stroke-linecap:round}svg .d{stroke-dasharray:5 4}"
    )
    # Names of values stand among lines.
    rules.append("svg text.quiet{paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}")
    for name in LIGHT:
        rules.append(f"svg path.{name}{{stroke:var(--{name})}}svg rect.{name},svg text.{name}{{fill:var(--{name})}}")
        rules.append(f".key.{name}{{background:var(--{name})}}")
    rules.append(".legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.2rem 0;font-size:.85rem}")
    rules.append(".legend span{display:inline-flex;align-items:center;gap:.4rem}")
    rules.append(".key{display:inline-block;width:.8rem;height:.8rem;border-radius:50%;print-color-adjust:exact}")
    return "\n".join(rules)


def _render_shape(shape: Shape) -> Markup:
    match shape:
        case Stroke(colour, points, width, is_dashed, trial):
            kind = f"l {colour}" + (" d" if is_dashed else "")
            number = Markup(' data-t="{}"').format(trial) if trial is not None else ""
            return Markup('<path class="{}" stroke-width="{}" d="{}"{}/>').format(
                kind, _short(width), _trace(points), number
            )
        case Spots(colour, points, size, trials):
            path = "".join(f"M{_short(x)} {_short(y)}h0" for x, y in points)
            numbers = Markup(' data-n="{}"').format(" ".join(map(str, trials))) if trials else ""
            return Markup('<path class="o {}" stroke-width="{}" d="{}"{}/>').format(colour, _short(size), path, numbers)
        case Area(colour, (left, top, width, height), text, trial):
            title = Markup("<title>{}</title>").format(text) if text else ""
            number = Markup(' data-t="{}"').format(trial) if trial is not None else ""
            return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"{}>{}</rect>').format(
                colour, *map(_short, (left, top, width, height)), number, title
            )
        case Text():
            return _render_text(shape)


def _render_text(text: Text) -> Markup:
    x, y = map(_short, text.at)
    turned = Markup(' transform="rotate(-90 {} {})"').format(x, y) if text.is_upright else ""
    bold = Markup(' font-weight="600"') if text.is_bold else ""
    title = Markup("<title>{}</title>").format(text.whole) if text.whole else ""
    return Markup('<text class="{}" x="{}" y="{}" font-size="{}" text-anchor="{}"{}{}>{}{}</text>').format(
        text.colour, x, y, text.size, text.anchor, turned, bold, escape(text.text), title
    )


def _trace(points: Sequence[Point | None]) -> str:
    """Return the path through points, which begins anew after each gap."""
    parts, is_new = [], True
    for point in points:
        if point is not None:
            parts.append(f"{'M' if is_new else 'L'}{_short(point[0])} {_short(point[1])}")
        is_new = point is None
    return "".join(parts)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
