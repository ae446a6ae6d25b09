"""Published checkpoints, read into our parts; see `talkover.model.importing.run`."""
