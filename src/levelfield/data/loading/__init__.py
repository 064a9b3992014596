"""From a name or a caller's own images to batches."""
