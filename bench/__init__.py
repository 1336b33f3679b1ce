"""`make bench`: what the budgets of the design are held against, as ratios to the raw engine in the same run."""
