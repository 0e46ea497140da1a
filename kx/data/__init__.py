"""Sources of raw examples, and the pipeline that makes batches of them."""

from kx.contracts.examples import Examples, Preparation
from kx.contracts.specs import Data, Outputs, Spec

__all__ = ["Data", "Examples", "Outputs", "Preparation", "Spec"]
