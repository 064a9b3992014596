"""The ranks of features: of a network layer by layer, and of thousands of random ones."""
