"""Population statistics: which variance, when Eq 5 is right, what frameworks store, and the noise of companions."""
