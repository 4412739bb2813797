"""Everything about models: engine, backends, routing. Knows nothing of conversations."""
