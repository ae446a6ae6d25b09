"""Real recordings into event-preserving, labelled segments."""
