"""The loops over particles: compiled ahead where there is no numba, as in our images, and by numba elsewhere."""

try:
    from hepspark_kernels import cone_sums, falling_order, fold, pair_sums
except ImportError:
    from hepspark.features.kernels import cone_sums, falling_order, fold, pair_sums

__all__ = ["cone_sums", "falling_order", "fold", "pair_sums"]
