"""From recordings of any length to sessions: cut, decoded, stitched, written."""
