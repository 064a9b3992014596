"""The charts of the page as Vega-Lite specifications, a file for each chart."""
