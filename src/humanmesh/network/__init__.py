"""Encoder, iterative regressor, discriminator, and their composition."""
