"""Which rule each layer gets: a table of formats, a last layer in high precision."""

from __future__ import annotations

import pytest

from accelsim.errors import AccelsimError
from accelsim.policies import Uniform, parse_policy, policy_at

EVERY = [
    *("uniform-low", "uniform:format=fp16", "per-layer:formats=e4m3fn/fp16/bf16", "chunked"),
    *("selective", "absolute", "next-layer", "static", "random", "oracle"),
]


@pytest.mark.parametrize("text", EVERY)
def test_a_last_layer_in_high_precision_goes_with_every_policy(text: str) -> None:
    plain = parse_policy(text)
    policy = parse_policy(f"{text}{',' if ':' in text else ':'}last=fp32,overflow=inf")
    assert str(policy).endswith(",overflow=inf,last=fp32") or text == "uniform-low"
    assert parse_policy(str(policy)) == policy
    end = policy_at(policy, 2, 3)
    assert (str(end), end.second) == ("uniform:format=fp32,overflow=inf", None)
    assert policy_at(plain, 2, 3) == plain or text.startswith("per-layer")
    for index in (0, 1):
        assert policy_at(policy, index, 3).first.format == policy_at(plain, index, 3).first.format
        assert policy_at(policy, index, 3).second is None or policy_at(policy, index, 3) is policy


def test_a_table_gives_each_layer_its_format() -> None:
    policy = parse_policy("per-layer:formats=e4m3fn/fp16/fp32")
    assert str(policy) == "per-layer:formats=e4m3fn/fp16/fp32"
    rules = [policy_at(policy, index, 3) for index in range(3)]
    assert [str(rule) for rule in rules] == [
        "uniform:format=e4m3fn",
        "uniform:format=fp16",
        "uniform:format=fp32",
    ]
    assert all(isinstance(rule, Uniform) for rule in rules)


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [
        ("per-layer:formats=fp16/fp32", 3, "formats has 2 values, expected 3"),
        ("per-layer:formats=fp16/fp32,last=fp32", 1, "formats has 2 values, expected 1"),
        ("random:layer_rates=0.1", 2, "layer_rates has 1 values, expected 2"),
        ("static:layer_rates=0.1", 2, "layer_rates has 1 values, expected 2"),
        ("selective:layer_taus=1/2/3", 2, "layer_taus has 3 values, expected 2"),
    ],
)
def test_a_value_for_each_layer_means_neither_more_nor_fewer(
    text: str, number: int, said: str
) -> None:
    policy = parse_policy(text)
    with pytest.raises(AccelsimError) as caught:
        policy_at(policy, 0, number)
    assert str(caught.value) == (
        f"policy {policy.name}: {said}: one for each matrix product of the workload"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "selective:tau=8,rate=0.1",
            "policy selective: tau is 8 and rate is 0.1, allowed is one of tau, layer_taus, rate",
        ),
        (
            "absolute:layer_taus=1/2,rate=0.1",
            "policy absolute: layer_taus is 1/2 and rate is 0.1, allowed is one of tau,"
            " layer_taus, rate",
        ),
        (
            "random:layer_rates=0.5/1,rate=0.1",
            "policy random: rate is 0.1 and layer_rates is 0.5/1, allowed is one of rate,"
            " layer_rates",
        ),
        (
            "per-layer",
            "policy per-layer: parameter 'formats' is missing, as in"
            " per-layer:formats=e4m3fn/fp16/fp32",
        ),
        (
            "per-layer:formats=fp16/fp8",
            "policy per-layer: formats: unknown format 'fp8'; allowed are eXmY and eXmYfn"
            " (X 2 to 8, Y 0 to 23), fp16, bf16, tf32, fp32",
        ),
        (
            "selective:last=high",
            "policy selective: last: unknown format 'high'; allowed are eXmY and eXmYfn"
            " (X 2 to 8, Y 0 to 23), fp16, bf16, tf32, fp32",
        ),
        (
            "absolute:numerator=constant",
            "policy absolute: numerator is 'constant', expected: 'exact', 'l2', 'l1-inf', 'low'"
            " or 'running-error'",
        ),
        (
            "selective:margin=inf",
            "policy selective: margin is 'inf', expected: a finite number",
        ),
        (
            "random:cluster=8",
            "policy random: cluster: '8' is not rows x columns, such as 8x1, or 1x* for rows as"
            " wide as the layer",
        ),
        (
            "random:cluster=0x1",
            "policy random: cluster: '0x1' is not rows x columns, such as 8x1, or 1x* for rows as"
            " wide as the layer",
        ),
        ("static:rate=2", "policy static: rate is '2', expected: less than or equal to 1"),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        parse_policy(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "text",
    [
        "selective:layer_taus=4/8/inf,numerator=l2",
        "selective:rate=0.1,numerator=running-error,margin=1.5,low=fp16",
        "absolute:rate=0.25,numerator=l1-inf",
        "absolute:tau=1,numerator=exact",
        "next-layer:tau=0.5,numerator=low,high=bf16,last=fp16",
        "static:rate=0.1,tau=8",
        "static:layer_rates=0.1/0.2/0.3,tau=16",
        "random:rate=0.05,cluster=8x1",
        "random:rate=0.05,cluster=1x*",
        "oracle:rate=0.05",
        "oracle:layer_rates=0.05/0.5",
    ],
)
def test_a_policy_is_printed_as_it_was_written(text: str) -> None:
    assert str(parse_policy(text)) == text
