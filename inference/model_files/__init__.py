"""GGUF files on disk: what is in them, what they need, how they get here."""
