"""Run every benchmark of this folder, one after the other."""

from __future__ import annotations

import importlib
import pkgutil

import benchmarks


def main() -> None:
    """Run each module's `main`."""
    for module in sorted(pkgutil.iter_modules(benchmarks.__path__), key=lambda found: found.name):
        if module.name != "__main__":
            importlib.import_module(f"benchmarks.{module.name}").main()


if __name__ == "__main__":
    main()
