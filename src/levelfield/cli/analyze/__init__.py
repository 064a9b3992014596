"""`levelfield analyze`: why a network is better."""
