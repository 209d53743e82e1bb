"""Stage two: temporal networks, fusion heads, training and evaluation on cached features."""

from .ccc import ccc, ccc_loss
from .config import FitConfig
from .corrupt import Corruption
from .data import Plan, plan_fit
from .ensemble import combine, ensemble_weights
from .evaluate import compare, evaluate
from .heads import HeadInfo, create_head, describe_head, list_heads, register_head
from .inference import load_runs, predict_items
from .metrics import mse, pcc
from .model import Model, count_parameters
from .released import load_released
from .runs import Run, load_run, write_evaluation
from .scoring import Evaluation, merge_windows, predict, score
from .smooth import smooth
from .tcn import TCN
from .train import FitResult, fit, resume
from .trainer import Epoch

__all__ = [
    "TCN",
    "Corruption",
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
    "combine",
    "compare",
    "count_parameters",
    "create_head",
    "describe_head",
    "ensemble_weights",
    "evaluate",
    "fit",
    "list_heads",
    "load_released",
    "load_run",
    "load_runs",
    "merge_windows",
    "mse",
    "pcc",
    "plan_fit",
    "predict",
    "predict_items",
    "register_head",
    "resume",
    "score",
    "smooth",
    "write_evaluation",
]
