"""Sources of images with masks: a class for each pixel."""
