"""What the paths of the table answer: one module a noun."""
