"""Example data, and the story of a model kept fresh on it."""
