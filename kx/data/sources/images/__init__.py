"""Images: embedded, of TensorFlow Datasets, binary files, folders."""
