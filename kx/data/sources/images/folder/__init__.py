"""A folder of pictures: its files and splits, whether each can be read, and as what."""
