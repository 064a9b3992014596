"""What is done with a study's results: found in its folder, written, joined, pruned, picked from."""
