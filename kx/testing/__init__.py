"""Checks of the contracts: models, data, tasks, learners, augmentations, tokenizers, engines.

Each `check_…` takes an object of the user's own (or one of kx's options, which kx tests with the
same functions), and raises a `ContractError` that says what is wrong::

    from functools import partial

    import kx
    from kx.testing import check_model

    check_model(partial(my_model, units=16), kx.Spec((8, 8, 1), "float32"))
"""

from kx.testing.augmentations import check_augment
from kx.testing.contract import ContractError
from kx.testing.data import check_data, check_sampler
from kx.testing.environments import check_environment
from kx.testing.learners import check_learner
from kx.testing.models import check_model
from kx.testing.services import check_engine, check_tracker
from kx.testing.tasks import check_task
from kx.testing.tokenizers import check_tokenizer

__all__ = [
    "ContractError",
    "check_augment",
    "check_data",
    "check_engine",
    "check_environment",
    "check_learner",
    "check_model",
    "check_sampler",
    "check_task",
    "check_tokenizer",
    "check_tracker",
]
