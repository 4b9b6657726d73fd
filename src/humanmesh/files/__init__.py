"""The edge: the only package that opens files."""
