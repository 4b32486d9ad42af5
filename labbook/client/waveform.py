"""Audio inputs as small pictures of their waveforms.

Nothing is taken for audio by its shape. It is audio when it comes with a sampling rate: a mapping
with `array` and `sampling_rate` (as Hugging Face datasets give), a torchcodec decoder, or any
numbers where `choose(sampling_rate=)` says that inputs are waveforms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.client.dataset import is_array, is_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEIGHT", "WIDTH", "Audio", "as_audio", "is_audio", "peak_of", "waveform"]

WIDTH: Final = 128
HEIGHT: Final = 32


@dataclass(frozen=True)
class Audio:
    """One channel of samples, the mean of all, float32 (samples,)."""

    samples: NDArray[Any]
    rate: float
    """Samples a second."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


def is_audio(value: Any) -> bool:
    """Whether this is audio with its sampling rate."""
    if isinstance(value, Mapping):
        return "array" in value and "sampling_rate" in value
    return hasattr(value, "get_all_samples")  # torchcodec.decoders.AudioDecoder


def as_audio(value: Any, rate: float | None = None) -> Audio | None:
    """Return the audio that this is; None when it is none. `rate` is that of bare samples."""
    if isinstance(value, Mapping) and is_audio(value):
        value, rate = value["array"], value["sampling_rate"]
    elif is_audio(value):
        decoded = value.get_all_samples()
        value, rate = decoded.data, decoded.sample_rate
    samples = None if rate is None or rate <= 0 else _mono(value)
    return None if samples is None or rate is None else Audio(samples, float(rate))


def _mono(value: Any) -> NDArray[Any] | None:
    """(samples,) from (samples,) or (channels, samples), or the transposed."""
    import numpy as np

    if is_tensor(value):
        value = value.detach().to("cpu").float().numpy()
    elif not is_array(value):
        try:
            value = np.asarray(value)
        except ValueError:
            return None
    if value.dtype.kind not in "fiu" or value.ndim not in (1, 2) or not value.size:
        return None
    if value.ndim == 2:
        value = value.mean(0 if value.shape[0] <= value.shape[1] else 1)
    samples: NDArray[Any] = value.astype(np.float32)
    return samples


def peak_of(audios: Sequence[Audio]) -> float:
    """The largest finite amplitude of a set: one scale, so that the quiet look quiet."""
    import numpy as np

    peaks = (np.abs(np.nan_to_num(a.samples, nan=0, posinf=0, neginf=0)).max() for a in audios)
    return max(map(float, peaks), default=0.0)


def waveform(audio: Audio, peak: float) -> NDArray[Any]:
    """Draw from the least to the greatest sample of each of `WIDTH` equal stretches.

    uint8 (height, width, 1), 255 on 0; the middle row is silence.
    """
    import numpy as np

    samples = np.nan_to_num(audio.samples, nan=0, posinf=peak, neginf=-peak)
    edges = np.linspace(0, len(samples), WIDTH, endpoint=False).astype(int)
    scale = (HEIGHT - 1) / 2 / (peak or 1.0)
    low = np.rint(np.minimum.reduceat(samples, edges) * scale)
    high = np.rint(np.maximum.reduceat(samples, edges) * scale)
    middle = (HEIGHT - 1) // 2
    at = middle - np.arange(HEIGHT)[:, None]  # (height, 1): above zero at the top
    return (((at >= low) & (at <= high)) * 255).astype(np.uint8)[:, :, None]
