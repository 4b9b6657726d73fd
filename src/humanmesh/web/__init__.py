"""Server and page."""
