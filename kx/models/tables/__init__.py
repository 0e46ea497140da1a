"""Model builders for rows of numbers."""
