"""What can be wrong with examples: what TFDV finds, and what it does not look at.

Imports the judgement, the schemas and what is below them; `validate_examples` imports this.
"""
