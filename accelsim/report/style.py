"""How figures look, and how they become bytes: the palette, SVG, the same for the same figure."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's palette, which stays apart without colour vision.
BLACK, ORANGE, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#767676"
MARKS = [(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (ORANGE, "v"), (BLACK, "P"),
         ("#56B4E9", "X"), (GREY, ".")]  # fmt: skip
"""Colour and marker of each group; the last is for all the rest."""
FILLS = [(BLUE, ""), (RED, "//"), (YELLOW, "xx"), (BLACK, ""), (ORANGE, "//"), (ORANGE, ""),
         (PINK, "||"), (GREEN, ""), (GREEN, "//"), (GREEN, "xx"), ("#BBBBBB", ""),
         ("#BBBBBB", "//")]  # fmt: skip
MAP = "cividis"
"""Perceptually uniform, and made for readers with and without colour vision alike."""
WIDTH, HEIGHT = 5.6, 4.2
DPI = 100
RASTER = 600
"""A figure with more marks than this has them as pixels, and its text and axes as shapes."""
_METADATA = ("Date", "Creator", "Format", "Type")
_PLACES = re.compile(r' (?:(?:d|x|y)="[^"]*"|transform="rotate\([^"]*")')
_UPRIGHT = re.compile(r'(<text [^>]*) transform="rotate\(-?0 [^"]*"')
_FINE = re.compile(r"(\.\d\d)\d+")
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "accelsim",
    "svg.fonttype": "none",  # text stays text: small, sharp, and found by a search
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.unicode_minus": True,
    "figure.dpi": DPI,
    "hatch.linewidth": 0.7,
}


def settings() -> Any:
    """Return how figures look, for whoever draws them elsewhere."""
    return dict(_SETTINGS)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw as figures here look, whatever is set elsewhere."""
    with warnings.catch_warnings(), matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings())
        # Characters that this font lacks are drawn by the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        yield


def svg(draw: Callable[[Axes], Any], width: float = WIDTH, height: float = HEIGHT) -> bytes:
    """Return one pair of axes, drawn by `draw`, as an SVG file."""
    with drawing():
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        return svg_of(figure)


def svg_of(figure: Figure) -> bytes:
    """Return a figure as an SVG file."""
    stream = io.StringIO()
    with drawing():
        # Figure.savefig would draw everything once more, to find out how large it is.
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata=dict.fromkeys(_METADATA))
    # Matplotlib writes places to a millionth of a point, which makes pages a third as large again.
    text = _PLACES.sub(lambda place: _FINE.sub(r"\1", place[0]), stream.getvalue())
    text = _UPRIGHT.sub(r"\1", text)  # by no degrees at all
    # Where DejaVu Sans is missing, its sister Verdana has letters of the same width.
    return text.replace("'DejaVu Sans', sans-serif", _FONTS).encode()


def logarithmic(axes: Axes, which: str) -> None:
    """Make the `x` or `y` axis logarithmic, its ticks plain numbers."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(plain_numbers())
    axis.set_minor_formatter(NullFormatter())


def plain_numbers() -> FuncFormatter:
    """Return a format of ticks without mathematical typesetting."""
    return FuncFormatter(lambda value, _: f"{value:g}")


def legend_below(axes: Axes, columns: int = 3, handles: Sequence[Any] | None = None) -> None:
    """Put a legend under the axes, where it hides nothing; inside those of another's figure."""
    found, labels = axes.get_legend_handles_labels()
    if handles is not None:
        found, labels = list(handles), [str(handle.get_label()) for handle in handles]
    figure = axes.get_figure(root=True)
    if not found or figure is None:
        return
    letters = figure.get_figwidth() * 72.0 / 4.6  # of 8 points, that fit side by side
    columns = max(1, min(columns, int(letters / (max(map(len, labels)) + 7))))
    if len(figure.axes) == 1 and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.legend(found, labels, ncols=columns, loc="outside lower center", fontsize=8)
    else:
        axes.legend(found, labels, fontsize=8)
