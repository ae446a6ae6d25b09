"""Readers of single-speaker corpora, one kind a module, listed in `talkover.simulate.corpus`."""
