"""What is in a data set, for a person to see."""
