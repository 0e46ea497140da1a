"""Export of models that map raw input to answers, compared with the trained model."""
