"""Configuration, step, loop and log of the training."""
