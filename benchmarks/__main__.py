"""Run every benchmark, one after the other."""

from benchmarks import machine, numerics

if __name__ == "__main__":
    machine.main()
    numerics.main()
