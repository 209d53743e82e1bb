"""Stage two: temporal networks, fusion heads, training and evaluation on cached features."""

from .ccc import ccc, ccc_loss
from .config import FitConfig
from .data import Plan, plan_fit
from .evaluate import evaluate
from .heads import HeadInfo, create_head, describe_head, list_heads, register_head
from .model import Model, count_parameters
from .released import load_released
from .runs import Run, load_run, write_evaluation
from .scoring import Evaluation, merge_windows, predict, score
from .tcn import TCN
from .train import FitResult, fit, resume
from .trainer import Epoch

__all__ = [
    "TCN",
    "Epoch",
    "Evaluation",
    "FitConfig",
    "FitResult",
    "HeadInfo",
    "Model",
    "Plan",
    "Run",
    "ccc",
    "ccc_loss",
    "count_parameters",
    "create_head",
    "describe_head",
    "evaluate",
    "fit",
    "list_heads",
    "load_released",
    "load_run",
    "merge_windows",
    "plan_fit",
    "predict",
    "register_head",
    "resume",
    "score",
    "write_evaluation",
]
