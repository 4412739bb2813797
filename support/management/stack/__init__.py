"""What the whole stack adds to a model's time: both, side by side, in one run."""
