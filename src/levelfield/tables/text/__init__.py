"""The table in the forms that a person or a program reads: one file a form, what they share beside them."""
