"""A study as the parts of a paper: its table, figures, methods, compute and checklist in LaTeX, every number traced."""
