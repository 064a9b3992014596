"""Where data sets come from: known, located, downloaded, read, decoded."""
