"""The command line: parse, one call, print. A file a command; torch is imported inside commands only."""

from .dispatch import main

__all__ = ["main"]
