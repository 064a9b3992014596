"""What a study says: its file, its rows, the runs that follow from them."""
