"""The figures, by name, in the order of the story. Each has a module and a script of its name."""

__all__ = ["NAMES"]

NAMES = (
    "saturation",
    "bias",
    "affine",
    "gradient",
    "population",
    "folding",
    "scale",
    "depth",
    "rate",
    "ladder",
    "landscape",
    "batches",
    "train",
)
