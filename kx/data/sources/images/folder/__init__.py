"""A folder of images: its files and splits, and the check and conversion of each file."""
