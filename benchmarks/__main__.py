"""Run every benchmark, one after the other."""

from benchmarks import inference, machine, numerics, report, study

if __name__ == "__main__":
    machine.main()
    inference.main()
    numerics.main()
    study.main()
    report.main()
