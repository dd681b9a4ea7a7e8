"""Who produces and who consumes each tensor of a model: the one home of tracing."""

from .copying import duplicate, with_values
from .examples import Example, read_examples, run, tensors_in
from .tracing import trace
from .values import Call, DataFlow, End, Value, feature_numbers

__all__ = [
    "Call",
    "DataFlow",
    "End",
    "Example",
    "Value",
    "duplicate",
    "feature_numbers",
    "read_examples",
    "run",
    "tensors_in",
    "trace",
    "with_values",
]
