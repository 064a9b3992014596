"""The web page of a study: sections, charts, pictures, in one self-contained file."""
