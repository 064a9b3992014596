"""levelfield: fair comparison of image classifiers."""
