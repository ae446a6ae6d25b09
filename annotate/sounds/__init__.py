"""Sound events: from curves of what sounds to events with a name or a shape."""
