"""Instruction tasks: rows made from labelled sessions, trained beside transcription, answered.

After MOSS-Audio (arXiv 2606.01802): transcriptions with the times of words and sentences, captions,
and questions whose answers are times or depend on them. The wording of instructions and targets is
ours; the published one is not known to us.
"""
