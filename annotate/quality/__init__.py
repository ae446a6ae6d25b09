"""How good a recording is: levels, noise, clipping, bandwidth, loudness, opinion scores."""
