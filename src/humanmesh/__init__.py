"""One photo in, a posed 3D human body mesh out."""
