"""Figure: a convolution and its batch norm melt into one; where padding forbids it (Eq 6).

Letters: u the input, W the convolution's weight, s and t scale and shift of the affine map that batch norm is at
inference. The script convolves the one image itself, in float64.
"""

from functools import cache

import altair as alt
import torch
from markupsafe import Markup
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import conv2d

from ... import functional as F
from .drawing import BLUE, ORANGE, QUIET, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["BETA", "EPS", "GAMMA", "KERNEL", "MELT", "PADDINGS", "SIDES", "affine", "build", "image", "outputs"]

EPS = 1e-5
GAMMA = 1.0
KERNEL = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))  # the image embossed
SIDES = ("behind the convolution", "before it")
PADDINGS = ("zeros", "none")
MELT = Slider("melt", "melted in", 0.0, 1.0, 0.01, 0.3)
BETA = Slider("beta", "shift β", -2.0, 2.0, 0.05, 0.5)


@cache
def digits() -> Tensor:
    """The digits of scikit-learn, (1797, 1, 8, 8), between 0 and 1."""
    return torch.from_numpy(load_digits().images)[:, None] / 16


def image() -> Tensor:
    """The one that is shown, (1, 1, 8, 8): a zero."""
    return digits()[:1]


def kernel() -> Tensor:
    """The convolution's weight, (1, 1, 3, 3); it has no bias."""
    return torch.tensor(KERNEL, dtype=torch.float64)[None, None]


def affine(side: int, padding: int, beta: float) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm whose statistics are those of all digits where it stands, (1,) each."""
    x = digits() if side == 1 else conv2d(digits(), kernel(), padding=1 - padding)
    moments = F.batch_moments(x)
    gamma, shift = (torch.tensor([value], dtype=torch.float64) for value in (GAMMA, beta))
    return F.fold_affine(moments.mean, moments.var, gamma, shift, eps=EPS)


def outputs(side: int, padding: int, beta: float) -> tuple[Tensor, Tensor]:
    """The image through both layers, and through the one that they fold into, (1, 1, H, W) each."""
    s, t = affine(side, padding, beta)
    u, pad = image(), 1 - padding
    zero, one = torch.zeros_like(s), torch.ones_like(s)

    def norm(x: Tensor) -> Tensor:  # F.normalize with mean 0 and variance 1 is the affine map
        return F.normalize(x, zero, one, s, t, eps=0.0)

    both = norm(conv2d(u, kernel(), padding=pad)) if side == 0 else conv2d(norm(u), kernel(), padding=pad)
    fold = F.fold_weights_after if side == 0 else F.fold_weights_before
    weight, bias = fold(kernel(), None, s, t)
    return both, conv2d(u, weight, bias, padding=pad)


def build() -> Figure:
    """Return the figure: the image, the weights, and for either side and padding the affine map."""
    pairs = {(side, padding): affine(side, padding, 0.0) for side in (0, 1) for padding in (0, 1)}
    differences = {pair: torch.subtract(*outputs(*pair, BETA.start)).abs() for pair in pairs}
    wrong = int((differences[1, 0] > 1e-9).sum())
    facts = {
        "exact": f"{max(one.max() for pair, one in differences.items() if pair != (1, 0)):.0e}",
        "wrong": f"{wrong}",
        "most": f"{differences[1, 0].max():.2f}",
        "pixels": str(differences[1, 0].numel()),
        "untouched": f"{BETA.start - float(pairs[1, 0][1]):g}",
    }
    return Figure(
        name="folding",
        caption="An image, a 3×3 convolution and a batch norm at inference, one affine map. Filled squares are "
        "positive, hollow ones negative, and the larger the more. Drag the batch norm onto the convolution: its scale "
        "and shift go over into the weights and the bias, and the output is to stay as it is. A frame marks each pixel "
        "that does not.",
        sentence=f"Behind a convolution batch norm folds into it with a difference of {facts['exact']} at most. Before "
        f"one that is padded with zeros it does not: {wrong} of {facts['pixels']} pixels, all at the border, come out "
        f"wrong, by up to {facts['most']}.",
        picture=_picture(differences[1, 0]),
        controls=(Choice("side", "batch norm stands", SIDES), Choice("padding", "padding", PADDINGS), MELT, BETA),
        arrays={},
        values={
            "image": image().flatten().tolist(),
            "kernel": kernel().flatten().tolist(),
            # t at β = 0; β comes on top of it.
            "maps": [[[float(value) for value in pairs[side, padding]] for padding in (0, 1)] for side in (0, 1)],
        },
        facts=facts,
    )


def _picture(difference: Tensor) -> Markup:
    folded = outputs(1, 0, BETA.start)[1][0, 0]
    size = int(folded.shape[-1])
    places = {
        "row": [row for row in range(size) for _ in range(size)],
        "column": [column for _ in range(size) for column in range(size)],
    }

    def panel(title: str, values: Tensor, colour: str) -> alt.Chart:
        x = alt.X("column:O", title=title, axis=alt.Axis(labels=False, ticks=False))
        y = alt.Y("row:O", title=None, axis=None)
        area = alt.Size("size:Q", legend=None, scale=alt.Scale(domain=[0, float(folded.abs().max())], range=[0, 230]))
        hue = alt.Color("negative:N", legend=None, scale=alt.Scale(domain=[False, True], range=[colour, QUIET]))
        chart = rows(**places, size=values.abs().flatten(), negative=(values < 0).flatten())
        squares: alt.Chart = chart.mark_square(opacity=1).encode(x, y, area, hue).properties(width=150, height=150)
        return squares

    return draw(panel("folded all the same", folded, BLUE) | panel("its error", difference[0, 0], ORANGE))
