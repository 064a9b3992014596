"""What lies behind a row's accuracy: its curves, confidence, errors, robustness, energy, and shrinking."""
