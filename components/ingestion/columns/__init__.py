"""What a column is: its type by all its values or as given, and how text is read as a value.

The readers of tables and `rows` import it; it imports none of them.
"""
