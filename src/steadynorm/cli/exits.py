"""The exit codes, the same for every command."""

__all__ = ["DONE", "FAILED", "INTERRUPTED", "MISSING", "WRONG_USE"]

DONE = 0
FAILED = 1  # done, but the check that was asked for failed
WRONG_USE = 2
MISSING = 3  # data, a record or an extra is missing
INTERRUPTED = 130  # by Ctrl-C, after what was done was saved
