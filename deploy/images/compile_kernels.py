"""Compiles the loops of hepspark ahead: `compile_kernels.py SOURCE FOLDER` writes the module hepspark_kernels.

The module needs neither numba nor LLVM, which would be a quarter of an image, and its processes need not compile.
"""

import importlib.util
import sys
import warnings
from pathlib import Path


def compile_kernels(source: Path, output: Path) -> None:
    """Write a module with the functions that the source's SIGNATURES name."""
    with warnings.catch_warnings():
        # It announces its successor, which numba does not have yet.
        warnings.simplefilter("ignore")
        from numba.pycc.cc import CC

        spec = importlib.util.spec_from_file_location("kernels", source)
        if spec is None or spec.loader is None:
            raise SystemExit(f"{source} is not a Python file")
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        module = CC("hepspark_kernels")
        module.output_dir = str(output)
        module.target_cpu = "x86-64-v2"  # any machine of the last ten years
        for name, signature in kernels.SIGNATURES.items():
            module.export(name, signature)(getattr(kernels, name).py_func)
        module.compile()


if __name__ == "__main__":
    compile_kernels(Path(sys.argv[1]), Path(sys.argv[2]))
