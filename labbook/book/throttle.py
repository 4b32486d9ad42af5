"""What the bits of `gpu.<i>.throttle_bitmask` mean.

They are nvmlClocksEventReason… of NVML's nvml.h (nvmlClocksThrottleReason… before driver 535):
why the clocks are not as high as they could be.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HELD_BACK", "REASONS", "decoded"]

REASONS: Final = {
    1: "idle",
    2: "clocks set by the user",
    4: "power cap",
    8: "hardware slowdown",
    16: "sync boost with another GPU",
    32: "temperature (software)",
    64: "temperature (hardware)",
    128: "power brake",
    256: "display clock setting",
    512: "board limit",
    1024: "reliability voltage limit",
}

HELD_BACK: Final = tuple(bit for bit in REASONS if bit not in {1, 2, 256})
"""Bits that mean it could not go as fast as it was asked to; idling and settings do not."""


def decoded(bitmask: float) -> list[str]:
    """Return the reasons in words; a bit that is not known as its number."""
    bits = int(bitmask)
    return [REASONS.get(1 << i, f"bit {i}") for i in range(bits.bit_length()) if bits >> i & 1]
