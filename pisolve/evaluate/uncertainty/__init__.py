"""How far an image can be trusted, pixel by pixel."""
