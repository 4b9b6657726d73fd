"""Data sets: annotations, readers, augmentation, mixing, synthetic people."""
