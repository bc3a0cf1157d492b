"""TFDV's statistics and distances, for every component that has TFDV: it has no interface and no image of its own."""
