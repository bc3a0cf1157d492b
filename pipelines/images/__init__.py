"""The components' images: building and publishing them, naming them by digest, and saying what is in them."""
