"""Training of our annotation models on simulated sessions."""
