"""What people write: YAML and JSON read strictly, policies, and the words by which a file spells a value.

Every component may import it; it imports nothing but errors and storage.
"""
