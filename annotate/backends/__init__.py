"""What listens: one protocol for every kind of backend, and the tables that name them."""
