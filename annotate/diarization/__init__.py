"""Who spoke when: local speakers of windows, joined over the recording."""
