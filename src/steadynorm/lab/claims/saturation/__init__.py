"""Drifting inputs and the sigmoid's slope: Figure 1 of the article."""

from . import drift, restored, slopes

CLAIMS = (slopes.CLAIM, drift.CLAIM, restored.CLAIM)
