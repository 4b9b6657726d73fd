"""One file a format; each maps to named joints and the project's units."""
