"""From sessions with audio to batches: windows, examples, order, layout."""
