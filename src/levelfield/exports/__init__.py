"""A trained network as a file for another runtime: images in, probabilities out, tested again as it is used there."""
