"""One speaker-attributed, time-stamped transcription model; published systems are its presets."""
