"""The recipe of the bundled model: dialogues, a small network, a GGUF file."""
