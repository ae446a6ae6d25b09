"""Cutting recordings where nothing is cut: segments that keep words, turns, sounds and music."""
