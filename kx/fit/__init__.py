"""From batches and a model to a trained one."""
