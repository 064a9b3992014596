"""`levelfield study`: comparisons from a file."""
