"""How data sets are kept: decoded once, cut into splits, known by their content."""
