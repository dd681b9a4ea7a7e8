"""The evidence: data, networks, recipes, one training loop, the claims, and their records."""
