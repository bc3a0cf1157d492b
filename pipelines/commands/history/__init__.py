"""The commands that look back: runs, where a version comes from, what was made from a file."""
