"""Data that flatter: what is odd about a scan or its reference."""
