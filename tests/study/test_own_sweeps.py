"""What is swept of one policy alone, and controls: as many outputs as another, by lot."""

from __future__ import annotations

from pathlib import Path

import pytest
from grids import contents, folder, run

import accelsim
from accelsim.config import load_study
from accelsim.errors import InputError
from accelsim.policies import Control, Random, Selective, parse_policy

HEAD = "name: grid\nhardware: tiny.yaml\nworkload: shapes.yaml\npolicy:\n"
OWN = (
    HEAD + "  - uniform-low\n"
    "  - {name: uniform, sweep: {format: [fp16, bf16]}}\n"
    "  - name: random\n"
    "    sweep: {rate: {linear: [0.25, 0.75], n: 3}}\n"
    "    controls: [5, 6]\n"
    "sweep: {array.rows: [2, 4]}\n"
)


def policies(path: Path, text: str) -> list[str]:
    study = load_study(folder(path, text))
    return [str(variant.make()) for grid in study.grids for variant in grid.policies]


def test_each_policy_has_a_sweep_of_its_own(tmp_path: Path) -> None:
    assert policies(tmp_path, OWN) == [
        "uniform-low",
        "uniform:format=fp16",
        "uniform:format=bf16",
        *(
            text
            for rate in ("0.25", "0.5", "0.75")
            for text in (
                f"random:rate={rate}",
                f"control of random:rate={rate}, seed 5",
                f"control of random:rate={rate}, seed 6",
            )
        ),
    ]
    assert load_study(folder(tmp_path, OWN)).points == 2 * 12


def test_a_control_redoes_as_many_outputs_of_each_layer_as_what_it_is_a_control_of(
    tmp_path: Path,
) -> None:
    found = run(folder(tmp_path, OWN))
    assert not found.failed
    by_policy = {(row["policy"], row["array.rows"]): row for row in found.rows}
    controls = [row for row in found.rows if row.get("policy.control_of") is not None]
    assert len(controls) == 2 * 6
    for row in controls:
        of = by_policy[row["policy.control_of"], row["array.rows"]]
        assert row["recompute_rate"] == of["recompute_rate"]
        assert f"seed={row['policy.seed']}" in row["policy"]
        assert "policy.rate" not in row
        kept, other = found.detail(row["point"]), found.detail(of["point"])
        assert kept is not None
        assert other is not None
        assert [layer["recompute_rate"] for layer in kept["layers"]] == [
            layer["recompute_rate"] for layer in other["layers"]
        ]
        again = accelsim.run(tmp_path / "tiny.yaml", tmp_path / "shapes.yaml", row["policy"])
        if row["array.rows"] == 4:
            assert again.total_cycles == row["total_cycles"]


def test_controls_are_the_same_whatever_the_jobs(tmp_path: Path) -> None:
    file = folder(tmp_path, OWN)
    for jobs in (1, 2):
        accelsim.study(file, jobs=jobs, out=tmp_path / f"with-{jobs}")
    assert contents(tmp_path / "with-1") == contents(tmp_path / "with-2")


def test_a_control_has_the_formats_of_what_it_is_a_control_of() -> None:
    of = parse_policy("selective:tau=8,low=e5m6,high=fp16,overflow=inf,last=fp32")
    assert isinstance(of, Selective)
    found = Control(of=of, seed=3).drawn((0.5, 0.25, 0.0))
    assert found == parse_policy(
        "random:layer_rates=0.5/0.25/0.0,seed=3,low=e5m6,high=fp16,overflow=inf,last=fp32"
    )
    assert isinstance(found, Random)


def test_what_is_a_control_of_a_point_that_fails_fails_too(tmp_path: Path) -> None:
    text = HEAD + "  - {name: selective, sweep: {tau: [8]}, controls: [0]}\n"
    found = run(folder(tmp_path, text))
    assert [row["status"] for row in found.rows] == ["failed", "failed"]
    assert found.rows[0]["error"] == found.rows[1]["error"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{name: random, sweep: [0.1]}",
         "policy[0].sweep: got a list, expected a mapping from parameters to values"),
        ("{name: random, rate: 0.1, sweep: {rate: [0.2]}}",
         "policy[0].sweep.rate: is a parameter as well; keep one of them"),
        ("{name: random, sweep: {tau: [1]}}",
         "policy[0].sweep.tau: unknown parameter of random; allowed: "),
        ("{name: random, sweep: {rate: [0.1, 2]}}",
         "policy[0].sweep.rate[1]: policy random: rate is '2', expected: less than or equal to 1"),
        ("{name: random, sweep: {rate: []}}",
         "policy[0].sweep.rate: got an empty list, expected a list of values, or a mapping"),
        ("{name: random, controls: 3}",
         "policy[0].controls: got 3, expected a list of seeds, none twice"),
        ("{name: random, controls: [1, 1]}",
         "policy[0].controls: got a list, expected a list of seeds, none twice"),
        ("{name: random, controls: [-1]}",
         "policy[0].controls: got a list, expected a list of seeds, none twice"),
        ("{name: uniform-high, controls: [1]}",
         "policy[0].controls: uniform-high redoes nothing, and needs none"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is(tmp_path: Path, policy: str, said: str) -> None:
    file = folder(tmp_path, f"{HEAD}  - {policy}\n")
    with pytest.raises(InputError) as caught:
        load_study(file)
    assert caught.value.problems[0].startswith(f"{file}:5: {said}")


def test_a_parameter_is_swept_for_one_policy_or_for_all(tmp_path: Path) -> None:
    text = HEAD + "  - {name: random, sweep: {rate: [0.1]}}\nsweep: {policy.rate: [0.2]}\n"
    with pytest.raises(InputError, match="is swept for one policy as well; keep one of them"):
        load_study(folder(tmp_path, text))


def test_controls_count_towards_the_points_that_are_too_many(tmp_path: Path) -> None:
    text = (
        HEAD + "  - {name: random, sweep: {seed: {linear: [0, 99999], n: 100000}},"
        " controls: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}\n"
    )
    with pytest.raises(InputError, match="makes 1,100,000 points, expected at most 1,000,000"):
        load_study(folder(tmp_path, text))


def test_the_study_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    folder(tmp_path)
    (tmp_path / "tiny.yaml").rename(tmp_path / "mine.yaml")
    (tmp_path / "lanes.yaml").write_text(example, encoding="utf-8")
    study = load_study(tmp_path / "lanes.yaml")
    (grid,) = study.grids
    # Two machines with lanes; a uniform policy, 20 selective ones, a random one with 3 seeds, 2
    # chunked ones, and the oracle with 2 controls.
    assert len(grid.machines) == 2 * 3 * 5 * 5
    assert len(grid.policies) == 1 + 20 + 3 + 2 + 3
