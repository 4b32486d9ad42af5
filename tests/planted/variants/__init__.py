"""Legal oddities: edits of a base that look like a mistake to a careless rule, and are none."""

from tests.planted.variants import pictures, scalars, sequences, tables

VARIANTS = (*tables.VARIANTS, *scalars.VARIANTS, *pictures.VARIANTS, *sequences.VARIANTS)
