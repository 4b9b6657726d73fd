"""Fitting a body to keypoints by optimisation."""
