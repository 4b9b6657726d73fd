"""Rotations, cameras, crops and alignment: tensors in, tensors out."""
