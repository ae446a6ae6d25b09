"""The ground floor: the data contract, and everything that all other parts share.

This package imports none of `talkover.simulate`, `talkover.annotate` and `talkover.model`.
"""
