"""Run every benchmark, one after the other."""

from benchmarks import machine, numerics, study

if __name__ == "__main__":
    machine.main()
    numerics.main()
    study.main()
