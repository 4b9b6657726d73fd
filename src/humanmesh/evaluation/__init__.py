"""Metrics, protocols, benchmark and gallery."""
