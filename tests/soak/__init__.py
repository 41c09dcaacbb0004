"""The soak test: one process at its highest sustainable rate, while sensors come and go."""
