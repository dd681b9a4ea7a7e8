"""Population statistics: which variance, when Eq 5 is right, what frameworks store, and the noise of companions."""

from . import bessel, companions, frameworks, pixels, rebinding, test_variance, training_variance

CLAIMS = (
    bessel.CLAIM,
    pixels.CLAIM,
    test_variance.CLAIM,
    training_variance.CLAIM,
    frameworks.CLAIM,
    rebinding.CLAIM,
    companions.CLAIM,
)
