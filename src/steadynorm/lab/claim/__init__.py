"""What a claim is: statement, protocol, arms, statistic, verdict, table; and the two usual kinds of claim."""

from .claim import Claim, Plan, Planned
from .drawn import EXACT, NOISY, Chart, Drawn, Line, generator, relative
from .parts import Draws, Part
from .trained import Arm, Outcome, Rounds, Trained, Training, descend

__all__ = [
    "EXACT",
    "NOISY",
    "Arm",
    "Chart",
    "Claim",
    "Drawn",
    "Draws",
    "Line",
    "Outcome",
    "Part",
    "Plan",
    "Planned",
    "Rounds",
    "Trained",
    "Training",
    "descend",
    "generator",
    "relative",
]
