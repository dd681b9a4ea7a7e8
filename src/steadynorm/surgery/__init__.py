"""Whole models changed. A trailing underscore changes the model passed in; every tool returns a Report of what it did.

What all of them keep: the model may itself be the layer; module identity, hooks and the parameters that an optimizer
holds survive; on any exception the model is as it was before.
"""

from .foreign import register

__all__ = ["register"]
