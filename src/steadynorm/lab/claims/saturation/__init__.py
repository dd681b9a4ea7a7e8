"""Drifting inputs and the sigmoid's slope: Figure 1 of the article."""
