"""The transform itself: Eq 2 to 4, its identities and bounds, feature maps, its relatives."""

from . import bound, gradients, identity, maps, relatives, two_values

CLAIMS = (gradients.CLAIM, identity.CLAIM, bound.CLAIM, two_values.CLAIM, maps.CLAIM, relatives.CLAIM)
