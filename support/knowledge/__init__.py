"""Articles become passages, passages are retrieved, replies are cited."""
