"""Whole models examined, and never changed: one rule a file in ``rules/``, and the train/eval gap layer by layer."""
