"""Equivalent variants: the same function from fewer bytes, by what a model's symmetries leave free.

A network whose residual stream may be rotated without changing what it computes spends bits on saying which rotation it
is in. `make_variant` chooses the rotation so that those bits are not needed and stores the rest as a *symmetric form*
(FORMAT.md, section 11); `expand` gives the plain file of it back, the same bytes every time.
"""

from freebits_codecs.symmetry.expansion import Expanded, expand
from freebits_codecs.symmetry.variants import METHODS, Variant, VariantFile, make_variant

__all__ = ["METHODS", "Expanded", "Variant", "VariantFile", "expand", "make_variant"]
