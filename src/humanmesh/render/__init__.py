"""A rasteriser in plain torch, shading and overlays."""
