"""Conversations whose truth is known: a plan without audio, then audio without decisions."""
