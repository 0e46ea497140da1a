"""Tasks on images whose outputs have the axes of the image."""
