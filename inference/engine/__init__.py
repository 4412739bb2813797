"""A batching engine on llama.cpp: many conversations share one model and one cache."""
