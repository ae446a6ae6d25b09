"""Our own small models: who speaks in a window, whose voice it is, what else sounds."""
