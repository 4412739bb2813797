"""Everything about models; knows nothing of conversations."""
