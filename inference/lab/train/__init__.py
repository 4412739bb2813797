"""The recipe of the bundled model: synthetic dialogues, a small Llama-shaped network, a GGUF file."""
