r"""An ε that is too large or too small for the variances.

Too large: the output's deviation is √(σ²/(σ²+ε)), and in more than half of the features that vary at all it loses more
than a tenth, so that the layer no longer normalizes them. Too small: √(σ²+ε) is so small that rounding comes through:
the unit roundoff u of the input's dtype gives an error of u|μ|/√(σ²+ε) in the output, which exceeds a tenth of its
deviation; or ε rounds to 0 in the dtype of γ and β. With data σ² is theirs, else the running variance.
"""

from collections.abc import Iterator

import torch

from ..finding import Finding
from ..rule import Case
from .dead_channels import varies

LOST = 0.1
AGAIN = "eps={:.0e}, then sn.recalibrate_(model, batches) for the layers behind"


def check(case: Case) -> Iterator[Finding]:
    """Look at one layer after the other."""
    for layer in case.batch_norms:
        seen = case.seen(layer)
        if seen is not None and seen.rows:
            mean, var = seen.pooled.mean, seen.pooled.var
        elif layer.statistics is not None and bool(layer.statistics[0].any()) and layer.why_no_variances is None:
            mean, var = (v.detach().double() for v in layer.statistics)
        else:
            continue
        eps, living = layer.module.eps, varies(mean, var)
        if not bool(torch.isfinite(mean + var).all()) or not bool(living.any()):
            continue
        deviation = (var / (var + eps)).sqrt()[living]
        lost = float((deviation < 1 - LOST).double().mean())
        dtype = torch.float32 if layer.module.weight is None else layer.module.weight.dtype
        noise = torch.finfo(dtype).eps / 2 * mean.abs() / (var + eps).sqrt()
        noisy = float((noise > LOST).double().mean())
        rounded = float(torch.tensor(eps, dtype=dtype)) == 0
        if lost > 0.5:
            numbers = {"eps": eps, "median variance": float(var[living].median()), "share of features": lost}
            cause = "ε is as large as the variances, so that the output's deviation is well below γ"
            yield Finding(layer.name, "warning", numbers, cause, AGAIN.format(float(var[living].median()) / 100))
        elif noisy or rounded:
            numbers = {
                "eps": eps,
                "largest rounding error in the output": float(noise.max()),
                "share of features": noisy,
            }
            cause = "ε is so small that rounding errors of the input, or a division by 0, come through"
            yield Finding(layer.name, "warning", numbers, cause, AGAIN.format(1e-5))
