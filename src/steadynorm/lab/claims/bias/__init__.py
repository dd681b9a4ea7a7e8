"""The bias that runs away when a step ignores the mean: Eq 1 and Figure 2 of the article."""
