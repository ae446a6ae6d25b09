"""What a preset costs on given sessions: tokens, memory, what fits, what does not and why."""
