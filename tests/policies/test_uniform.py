"""Any one accumulator for everything: what it gives, what it costs, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from accelsim.config import load_energy_table, load_hardware, load_workload
from accelsim.energy import charge
from accelsim.energy.machine_area import Needs
from accelsim.energy.parts_built import built
from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.infer.layer import ROWS_OF_A_LAYER
from accelsim.machine import Counts, lower
from accelsim.machine.adders import groups
from accelsim.machine.counts import Arithmetic, Operation
from accelsim.networks import Dataset, DenseLayer, Network, Workload
from accelsim.numerics import Accumulator, FloatFormat, draws, matmul
from accelsim.numerics.accumulator import PRESETS
from accelsim.numerics.rounding import round_exact
from accelsim.policies import Uniform, parse_policy, policy_at
from accelsim.policies.uniform import PUBLISHED
from accelsim.trace import LayerTrace

ROOT = Path(__file__).parents[2]
STOCHASTIC = "uniform:format=e5m2,rounding=stochastic,random_bits=13"
KINDS = [
    *("uniform:format=fixed16.10", "uniform:format=int32", "uniform:format=int16,overflow=wrap"),
    *(f"uniform:format=fp16,rounding={r}" for r in ("toward-zero", "upward", "nearest-away")),
    *(STOCHASTIC, f"{STOCHASTIC},seed=7", "uniform:format=e4m3fn,order=kahan,overflow=inf"),
    *(f"uniform:preset={name}" for name in ("h100-e4m3", "ada-e4m3", "deepseek-v3", "lba")),
]


def adding(*inputs: list[float], operands: str = "fp32") -> Workload:
    """Return one layer that adds up each of these samples."""
    fmt, samples = FloatFormat.parse(operands), np.array(inputs, np.float32)
    weight = np.ones((1, samples.shape[1]), np.float32)
    layer = DenseLayer("only", weight, np.zeros(1, np.float32), "identity")
    labels = np.zeros(len(samples), np.int64)
    data = Dataset(samples, labels, samples, labels)
    return Workload("adding", fmt, network=Network((layer,), fmt), dataset=data)


def sums(policy: str, workload: Workload) -> list[float]:
    found = infer(prepare(workload), parse_policy(policy)).outputs
    assert found is not None
    return [float(value) for value in found[:, 0]]


@pytest.mark.parametrize("text", KINDS)
def test_every_kind_prints_the_text_that_makes_it_again(text: str) -> None:
    policy = parse_policy(text)
    assert str(policy) == text
    assert parse_policy(str(policy)) == policy


def test_fixed_point_saturates_or_wraps() -> None:
    # fixed4.2 holds -2 to 1.75 in steps of 0.25: from 2 on, wrapping begins at -2 again.
    workload = adding([1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [4.0, 1.0, 0.5], [0.375, 0.25, 0.0])
    assert sums("uniform:format=fixed4.2", workload) == [1.75, 0.75, 1.75, 0.75]
    assert sums("uniform:format=fixed4.2,overflow=wrap", workload) == [-1.0, 1.0, 1.5, 0.75]


@pytest.mark.parametrize(
    ("rounding", "up", "down"),
    [
        ("nearest-even", 1.0, -1.0),
        ("nearest-away", 1.25, -1.25),
        ("toward-zero", 1.0, -1.0),
        ("upward", 1.5, -1.0),
        ("downward", 1.0, -1.5),
    ],
)
def test_each_sum_is_rounded_as_was_asked_for(rounding: str, up: float, down: float) -> None:
    # Steps of e5m2 from 1 to 2 are 0.25: 1.125 is half-way, and 1.0625 or 1.3125 a quarter.
    workload = adding([1.0, 0.125, 0.0625], [-1.0, -0.125, -0.0625])
    assert sums(f"uniform:format=e5m2,rounding={rounding}", workload) == [up, down]


def test_a_tensor_core_cuts_terms_below_the_largest() -> None:
    # Aligned to 13 bits below 2^8: a term of 2^-6 is lost, wherever it stands and how often.
    workload = adding(
        *([256.0, 2.0**-5, 0.0], [256.0, 2.0**-6, 2.0**-6], [2.0**-6, 2.0**-6, 256.0]),
        operands="e4m3fn",
    )
    assert sums("uniform:preset=h100-e4m3", workload) == [256.03125, 256.0, 256.0]
    assert sums("uniform:format=e8m13,rounding=toward-zero", workload)[2] == 256.03125


def test_lba_rounds_down_in_chunks_of_sixteen() -> None:
    # e4m7b10 has steps of 0.125 from 16 on.
    rest = [0.0] * 15
    workload = adding(
        *([16.0, *rest, 0.0625, 0.0], [16.0, *rest, 0.0625, 0.0625], [-16.0, *rest, -0.0625, 0.0])
    )
    assert sums("uniform:preset=lba", workload) == [16.0, 16.125, -16.125]


def test_stochastic_sums_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(3)
    a = generator.standard_normal((5, 6)).astype(np.float32)
    b = generator.standard_normal((6, 4)).astype(np.float32)
    acc = parse_policy(f"{STOCHASTIC},seed=9").first
    found = matmul(a, b, acc, first_row=ROWS_OF_A_LAYER + 2)
    for i in range(5):
        for j in range(4):
            total = 0.0
            for k in range(6):
                number = draws.ROUNDINGS_PER_STEP * k + draws.STEP
                drawn = draws.draw(9, ROWS_OF_A_LAYER + 2 + i, j, number, 13)
                exact = Fraction(total) + Fraction(float(a[i, k])) * Fraction(float(b[k, j]))
                total = round_exact(acc.format, exact, "saturate", "stochastic", drawn)
            assert found[i, j] == total


def test_stochastic_rounding_is_right_on_average_and_draws_by_layer_and_sample() -> None:
    # 1.0625 lies a quarter of the way from 1 to 1.25.
    found = np.array(sums(STOCHASTIC, adding(*[[1.0, 0.0625]] * 4000)))
    assert set(found) == {1.0, 1.25}
    assert abs(found.mean() - 1.0625) < 4 * 0.25 * math.sqrt(0.25 * 0.75 / 4000)
    other = np.array(sums(f"{STOCHASTIC},seed=1", adding(*[[1.0, 0.0625]] * 4000)))
    a, b = np.array([[1.0, 0.0625]] * 4000, np.float32), np.ones((2, 1), np.float32)
    acc = parse_policy(STOCHASTIC).first
    later = matmul(a, b, acc, first_row=ROWS_OF_A_LAYER)[:, 0]
    np.testing.assert_array_equal(matmul(a, b, acc)[:, 0], found)
    for drawn in (other, later, np.roll(found, 1)):  # independent: 3 of 8 differ
        assert abs((drawn != found).mean() - 0.375) < 4 * math.sqrt(0.375 * 0.625 / 4000)


@pytest.mark.slow
def test_a_wide_integer_never_wraps_on_the_digits() -> None:
    prepared = prepare(load_workload(ROOT / "workloads" / "digits-relu.yaml"))
    texts = ("uniform:format=fixed32.18", "uniform:format=fixed32.18,overflow=wrap", "l1-bound")
    exact = [infer(prepared, parse_policy(text)).outputs for text in texts]
    np.testing.assert_array_equal(exact[0], exact[1])
    np.testing.assert_array_equal(exact[0], exact[2])


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("uniform:format=fixed16.10", 0.97),
        ("uniform:preset=h100-e4m3", 0.97),
        pytest.param("uniform:preset=deepseek-v3", 0.97, marks=pytest.mark.slow),
        ("uniform:preset=lba", 0.97),
        pytest.param("uniform:format=fp16,rounding=toward-zero", 0.97, marks=pytest.mark.slow),
        pytest.param(STOCHASTIC, 0.85, marks=pytest.mark.slow),
    ],
)
def test_the_digits_are_read_by_each_kind(text: str, least: float) -> None:
    found = infer(
        prepare(load_workload(ROOT / "workloads" / "digits-relu.yaml")), parse_policy(text)
    )
    assert found.accuracy is not None
    assert found.accuracy > least


def layer(text: str, operands: str = "e4m3fn") -> LayerTrace:
    """Return two rows of forty terms by three columns: 6 outputs, 240 terms."""
    fmt = FloatFormat.parse(operands)
    return LayerTrace("layer", 2, 40, 3, fmt, fmt, parse_policy(text).first)


def counted(text: str, operands: str = "e4m3fn") -> dict[str, int]:
    """Return what the array does beside multiplying and passing operands on."""
    found = lower(layer(text, operands), load_hardware(ROOT / "hwconfigs" / "edge-16x16.yaml"))
    return {
        str(action): number
        for component, action, number in found.counts
        if component == "array" and str(action).split()[0] not in ("multiply", "operand")
    }


def test_stochastic_additions_are_as_wide_as_their_random_bits_make_them() -> None:
    assert counted(STOCHASTIC) == {"add e5m15": 240, "register e5m2": 240}
    assert counted("uniform:format=fixed16.10,rounding=stochastic,random_bits=4") == {
        **{"add fixed20.14": 240, "shift fixed20.14": 240},
        "register fixed16.10": 240,
    }
    assert counted("uniform:format=e5m2,rounding=upward") == counted("uniform:format=e5m2")


def test_integers_are_charged_as_under_the_l1_bound() -> None:
    expected = {f"{operation} int16": 240 for operation in ("add", "register", "shift")}
    assert counted("uniform:format=int16") == expected
    assert counted("uniform:format=int16,overflow=wrap") == expected


def test_four_additions_of_a_compensated_term_are_charged() -> None:
    text = "uniform:format=e4m3fn,order=kahan"
    assert counted(text) == {"add e4m3fn": 960, "register e4m3fn": 960}


def test_lba_adds_up_its_chunks() -> None:
    assert counted("uniform:preset=lba") == {"add e4m7b10": 258, "register e4m7b10": 258}


def test_a_group_is_aligned_added_and_kept_once() -> None:
    # 40 terms are a group of 32 and one of 8, so that 12 running sums are aligned and kept. A term
    # has 13 bits, two before the point, and a sign; 32 of them and the sum so far 6 more.
    assert counted("uniform:preset=h100-e4m3") == {
        **{"compare int8": 240, "add int8": 252, "shift int16": 252},
        **{"add int22": 240, "shift int21": 12, "register e8m13": 12},
    }
    # Groups of 16 in 25 bits: sums of 33, one more than any format has. Three groups in 40 terms.
    assert counted("uniform:preset=h100-fp16", "fp16") == {
        **{"compare int8": 240, "add int8": 258, "shift int28": 258},
        **{"add int32": 240, "add int1": 240, "shift int32": 18, "register fp32": 18},
    }


def test_groups_start_anew_with_every_chunk() -> None:
    def number(terms: int, chunk: int | None) -> int:
        outer = None if chunk is None else "fp32"
        acc = Accumulator("fp32", group=32, align_bits=13, chunk=chunk, outer=outer)
        return groups(acc, terms)

    assert [number(terms, None) for terms in (1, 32, 33, 300)] == [1, 1, 2, 10]
    assert [number(terms, 40) for terms in (1, 40, 41, 300)] == [1, 2, 3, 2 * 7 + 1]


def test_the_energy_of_groups_is_that_of_their_parts() -> None:
    # By the laws and figures of 45nm: shifts 0.00363383·n^1.36848, integer additions
    # 0.0049295·n^0.868483 and 0.03 for int8, as comparisons; 0.009 pJ a bit of a register.
    lowered = lower(
        layer("uniform:preset=h100-e4m3"), load_hardware(ROOT / "hwconfigs" / "edge-16x16.yaml")
    )
    wanted = counted("uniform:preset=h100-e4m3")
    kept = Counts(entry for entry in lowered.counts if str(entry[1]) in wanted)
    shifts = 252 * 0.00363383 * 16**1.36848 + 12 * 0.00363383 * 21**1.36848
    additions = 240 * 0.0049295 * 22**0.868483 + (240 + 252) * 0.03
    found = math.fsum(line.energy_pj for line in charge(kept, load_energy_table("45nm")))
    assert found == pytest.approx(shifts + additions + 12 * 22 * 0.009, rel=1e-12)
    assert found == pytest.approx(43.51 + 32.09 + 2.38, abs=0.02)


def test_a_machine_has_the_adders_of_its_groups() -> None:
    hardware = load_hardware(ROOT / "hwconfigs" / "edge-16x16.yaml")  # 256 PEs: 8 groups of 32
    found = built(hardware, Needs.of([layer("uniform:preset=h100-e4m3")]))["array"]

    def number(operation: Operation, fmt: str) -> int:
        return found[Arithmetic(operation, fmt)]

    assert (number("multiply", "e4m3fn"), number("register", "e4m3fn")) == (256, 512)
    assert (number("compare", "int8"), number("add", "int8")) == (256, 264)
    assert (number("shift", "int16"), number("add", "int22")) == (264, 256)
    assert (number("shift", "int21"), number("register", "e8m13")) == (8, 8)
    drawn = built(hardware, Needs.of([layer(STOCHASTIC)]))["array"]
    assert (drawn[Arithmetic("add", "e5m15")], drawn[Arithmetic("register", "e5m2")]) == (256, 256)
    assert Arithmetic("add", "e5m2") not in drawn


@pytest.mark.parametrize("table", ["45nm", "40nm", "7nm"])
@pytest.mark.parametrize("text", KINDS)
def test_every_table_prices_every_kind(text: str, table: str) -> None:
    hardware = load_hardware(ROOT / "hwconfigs" / "mid-32x32.yaml")
    lines = charge(lower(layer(text), hardware).counts, load_energy_table(table))
    assert all(line.energy_pj > 0 for line in lines)


def test_the_last_layer_saturates_where_the_others_wrap() -> None:
    policy = parse_policy("uniform:format=int16,overflow=wrap,last=fp32")
    assert str(policy_at(policy, 2, 3)) == "uniform:format=fp32"
    assert policy_at(policy, 1, 3) is policy


def test_presets_are_the_accumulators_of_their_names() -> None:
    for name in PRESETS:
        assert Uniform(preset=name).first == Accumulator.preset(name)
    assert set(PUBLISHED) - set(PRESETS) == {"deepseek-v3", "lba"}


DRAWN = "uniform:format=fp16,rounding=stochastic"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "uniform:format=fp16,overflow=wrap",
            "overflow is 'wrap', allowed are inf, saturate with format fp16",
        ),
        (
            "uniform:format=int16,overflow=inf",
            "overflow is 'inf', allowed are saturate, wrap with format int16",
        ),
        (
            "uniform:format=fp16,preset=lba",
            "format is fp16 and preset is lba, allowed is one of format, preset",
        ),
        (
            "uniform:preset=h100",
            f"preset: preset is 'h100', allowed are {', '.join(PUBLISHED)}",
        ),
        (
            "uniform:preset=lba,rounding=upward",
            "rounding is upward, but preset lba has its own: allowed with a preset is last alone",
        ),
        (
            "uniform:format=fp16,random_bits=4",
            "random_bits is 4, but rounding nearest-even draws nothing: allowed is random_bits with"
            " rounding=stochastic",
        ),
        (
            "uniform:format=fp16,rounding=upward,seed=4",
            "seed is 4, but rounding upward draws nothing: allowed is seed with"
            " rounding=stochastic",
        ),
        (
            DRAWN,
            "random_bits is missing with rounding stochastic: allowed are 1 to 28, and what they"
            " add is charged",
        ),
        (
            f"{DRAWN},random_bits=14",
            "random_bits is 14, allowed are 1 to 13 with format fp16: they are added below its last"
            " place, and no adder is wider than 23 mantissa bits",
        ),
        (
            "uniform:format=int32,rounding=stochastic,random_bits=1",
            "random_bits is 1, allowed are none with format int32: they are added below its last"
            " place, and no adder is wider than 32 bits",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        parse_policy(text)
    assert str(caught.value) == f"policy uniform: {said}"


def test_a_preset_refuses_other_operands() -> None:
    workload = adding([1.0, 2.0], operands="bf16")
    assert sums("uniform:preset=h100-bf16", workload) == [3.0]
    with pytest.raises(AccelsimError) as caught:
        infer(prepare(workload), parse_policy("uniform:preset=h100-e4m3"))
    assert str(caught.value) == (
        "policy uniform: preset h100-e4m3 takes operands in e4m3fn, but the workload's"
        " operand_format is bf16: allowed with it are a100-bf16, h100-bf16, h200-bf16, lba"
    )
    shapes = load_workload(ROOT / "workloads" / "gpt2-small.yaml")
    with pytest.raises(AccelsimError, match="preset v100-fp16 takes operands in fp16"):
        infer(prepare(shapes), parse_policy("uniform:preset=v100-fp16"))
