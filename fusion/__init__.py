"""Stage two: temporal networks, fusion heads, training and evaluation on cached features."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import FitConfig
    from .data.plan import Plan, plan_fit
    from .evaluation.ccc import ccc, ccc_loss
    from .evaluation.corruption import Corruption
    from .evaluation.ensemble import combine, ensemble_weights
    from .evaluation.evaluate import compare, evaluate
    from .evaluation.metrics import mse, pcc
    from .evaluation.predict import load_runs, predict_items
    from .evaluation.results import write_evaluation
    from .evaluation.scoring import Evaluation, merge_windows, predict, score
    from .evaluation.smooth import smooth
    from .heads import HeadInfo, describe_head, list_heads, register_head
    from .models.heads import create_head
    from .models.network import Model, count_parameters
    from .models.released import load_released
    from .models.tcn import TCN
    from .runs.folder import Run, load_run
    from .training.fit import FitResult, fit, resume
    from .training.trainer import Epoch

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

# Module -> what it gives.
_PLACES = {
    "config": ("FitConfig",),
    "data.plan": ("Plan", "plan_fit"),
    "evaluation.ccc": ("ccc", "ccc_loss"),
    "evaluation.corruption": ("Corruption",),
    "evaluation.ensemble": ("combine", "ensemble_weights"),
    "evaluation.evaluate": ("compare", "evaluate"),
    "evaluation.metrics": ("mse", "pcc"),
    "evaluation.predict": ("load_runs", "predict_items"),
    "evaluation.results": ("write_evaluation",),
    "evaluation.scoring": ("Evaluation", "merge_windows", "predict", "score"),
    "evaluation.smooth": ("smooth",),
    "heads": ("HeadInfo", "describe_head", "list_heads", "register_head"),
    "models.heads": ("create_head",),
    "models.network": ("Model", "count_parameters"),
    "models.released": ("load_released",),
    "models.tcn": ("TCN",),
    "runs.folder": ("Run", "load_run"),
    "training.fit": ("FitResult", "fit", "resume"),
    "training.trainer": ("Epoch",),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for, and torch with it, only for those who ask: many commands do not."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
