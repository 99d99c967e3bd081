"""A YAML file is read the same by libyaml and by PyYAML's own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accelsim.config.document import _FastLoader, _Loader, read_document

ROOT = Path(__file__).parents[2]
FOLDERS = ("accelsim", "accelsim/energy/tables", "hwconfigs", "reports", "workloads")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.yaml"))]
SPELLINGS = """\
'a': "b\\u00e9"
c: 'it''s'
d: {e: [1, 0x10, .5, ~, no, 1e3, "1", 'true'], ? f : g}
"h i": >
  folded
  text
j: |-
  kept
k: &anchor 1
l: *anchor
m: !!int 3
n: !x {o: 1}
p: ""
"""


def _tree(node: yaml.Node | None) -> object:
    assert node is not None
    if isinstance(node, yaml.ScalarNode):
        content: object = (node.value, node.style or None)
    elif isinstance(node, yaml.MappingNode):
        content = [(_tree(key), _tree(value)) for key, value in node.value]
    else:
        content = [_tree(child) for child in node.value]
    return node.tag, node.start_mark.line, content


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@pytest.mark.parametrize(
    "text",
    [SPELLINGS, *(path.read_text(encoding="utf-8") for path in FILES)],
    ids=["spellings", *(path.stem for path in FILES)],
)
def test_both_parsers_make_the_same_tree(text: str) -> None:
    own, fast = (yaml.compose(text, Loader=loader) for loader in (_Loader, _FastLoader))
    assert _tree(own) == _tree(fast)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for value in (1, 2):
        path.write_text(f"a: {value}\n")
        assert read_document(path).value == {"a": value}


def test_what_is_made_of_a_file_is_the_caller_s(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: [1]\n")
    read_document(path).value["a"].append(2)
    assert read_document(path).value == {"a": [1]}
