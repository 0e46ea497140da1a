"""Images as sources of examples: scikit-learn, TensorFlow Datasets, binary files, folders."""
