"""Is more of a metric better, or less? Said by the name's last word, where it says.

Standard library only, for readers and for the training process.
"""

from __future__ import annotations

import re
from typing import Literal

from labbook.errors import MisuseError

__all__ = ["Mode", "direction", "mode_of"]

Mode = Literal["min", "max"]

_LESS = re.compile(
    r"loss|err|nll|perplexity|ppl|bpb|bpc|bits|mse|mae|rmse|mape|cross_entropy|brier|ece|fid|lpips"
    r"|distance|regret|(^|_)(wer|cer|ter|ce|kl|eer|fpr|fnr)($|_)"
)
_MORE = re.compile(
    r"acc|f1|auc|auroc|auprc|precision|recall|bleu|rouge|meteor|chrf|iou|dice|reward|return"
    r"|score|r2|psnr|ssim|top\d|correct|exact_match|mcc|kappa|hit|ndcg|mrr|likelihood"
    r"|(^|_)(m?ap\d*|em|tpr|tnr|win_?rate|pass@?\d*)($|_)"
)


def direction(metric: str) -> Mode | None:
    """`min` for a loss or an error, `max` for an accuracy or a score, else None.

    Only the part after the last `/`, `.` or `:` counts: `arc.acc`, `val/loss`.
    """
    word = re.split(r"[/.:]", metric)[-1].lower()
    is_less, is_more = _LESS.search(word) is not None, _MORE.search(word) is not None
    if is_less == is_more:
        return None
    return "min" if is_less else "max"


def mode_of(metric: str, mode: str) -> Mode:
    """`mode` as given, or by the name for "auto".

    Raises `MisuseError` for another mode, and where the name does not say.
    """
    if mode == "min":
        return "min"
    if mode == "max":
        return "max"
    if mode != "auto":
        raise MisuseError(f"mode must be 'min', 'max' or 'auto', got {mode!r}")
    found = direction(metric)
    if found is None:
        raise MisuseError(
            f"the name {metric!r} does not say whether more or less of it is better: say "
            "mode='min' or mode='max'"
        )
    return found
