"""A document against a pydantic model: every problem as one line with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from accelsim.config.document import Document, Location, number_as_text

Model = TypeVar("Model", bound=BaseModel)


def validate(document: Document, model: type[Model]) -> Model | None:
    """Return the document as a `model`, or None after reporting every problem to it."""
    reported = {problem.location for problem in document.problems}
    if not isinstance(document.value, dict):
        if () not in reported:
            document.report((), f"got {document.given(())}, expected a mapping of keys to values")
        return None
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        found = Document(document.path, document.value, document.lines, document.texts)
        for detail in error.errors(include_url=False):
            _report(found, model, detail["loc"], detail["type"], detail.get("ctx", {}))
        # A place that could not be read at all is reported once, for the better reason.
        document.problems += [p for p in found.problems if p.location not in reported]
        return None


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` if something allowed is close, and what is allowed."""
    names = list(allowed)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} allowed: {', '.join(names)}"


def _report(
    document: Document,
    model: type[BaseModel],
    loc: Location,
    kind: str,
    context: dict[str, Any],
) -> None:
    place, owners, inner = _resolve(model, loc)
    key = str(place[-1]) if place else ""
    if kind == "extra_forbidden":
        allowed = [name for owner in owners for name in owner.model_fields]
        document.report(place, f"unknown key{did_you_mean(key, dict.fromkeys(allowed))}")
    elif kind == "missing":
        document.report(place, f"key is missing, expected {_expected(owners, key)}")
    elif kind == "union_tag_not_found":
        discriminator = str(context["discriminator"]).strip("'")
        tags = _tags(inner, discriminator)
        document.report((*place, discriminator), f"key is missing, expected {tags}")
    elif kind == "union_tag_invalid":
        discriminator = str(context["discriminator"]).strip("'")
        here = (*place, discriminator)
        tags = _tags(inner, discriminator)
        document.report(here, f"got {document.given(here)}, expected {tags}")
    elif kind == "value_error" and isinstance(document.at(place), str):
        document.report(place, str(context["error"]))
    elif kind == "value_error":
        document.report(place, f"got {document.given(place)}, {context['error']}")
    else:
        if isinstance(place[-1], int) and inner:  # one of a list of mappings
            owners = inner
        elif isinstance(place[-1], int):
            key = next(str(part) for part in reversed(place) if isinstance(part, str))
        given = document.given(place, hint=_would_do(owners, key, document.at(place)))
        expected = _expected(owners, key, item=isinstance(place[-1], int))
        document.report(place, f"got {given}, expected {expected}")


def _would_do(owners: list[type[BaseModel]], key: str, value: Any) -> bool:
    """Whether a number that was read as a string is one that its key takes."""
    if not isinstance(value, str) or not number_as_text(value):
        return True
    for owner in owners:
        if key in owner.model_fields:
            try:
                TypeAdapter(_annotation(owner.model_fields[key])).validate_python(float(value))
            except ValidationError:
                return False
    return True


def _resolve(
    model: type[BaseModel], loc: Location
) -> tuple[Location, list[type[BaseModel]], list[type[BaseModel]]]:
    """Return the place in the document, without pydantic's union tags, the models that own its
    last key, and the models that its value may be.
    """
    place: list[str | int] = []
    owners: list[type[BaseModel]] = [model]
    inner: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, int):
            place.append(part)
            continue
        if len(inner) > 1:  # every union here has a tag, which pydantic puts into the location
            inner = [owner for owner in inner if _has_tag(owner, part)]
            continue
        place.append(part)
        owners = inner
        fields = [owner.model_fields[part] for owner in owners if part in owner.model_fields]
        inner = [found for info in fields for found in _models_in(info.annotation)]
    return tuple(place), owners, inner


def _expected(owners: list[type[BaseModel]], key: str, *, item: bool = False) -> str:
    for owner in owners:
        if key in owner.model_fields:
            return _describe(owner.model_fields[key], item=item)
    return _mapping_of(owners)


def _describe(info: FieldInfo, *, item: bool) -> str:
    """Say in words what a field takes, or an item of the list that it is."""
    models = _models_in(info.annotation)
    try:
        schema = TypeAdapter(_annotation(info)).json_schema()
    except Exception:  # a type without a schema is described by its models
        schema = {}
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    option = options[0] if options else {}
    option = option.get("items", option) if item else option
    if "const" in option or "enum" in option:
        return _one_of(str(value) for value in option.get("enum", [option.get("const")]))
    kind = option.get("type")
    if kind == "array":
        return "a list that is not empty" if option.get("minItems") else "a list"
    if models or kind == "object" or "$ref" in option:
        return _mapping_of(models)
    if kind == "boolean":
        return "true or false"
    if kind == "string" and "maxLength" in option:
        return f"text of {option['minLength']} to {option['maxLength']} characters"
    if kind == "string":
        return "text that is not empty" if option.get("minLength") else "text"
    if kind in {"integer", "number"}:
        return _number(kind, option)
    return "another value"


def _mapping_of(models: list[type[BaseModel]]) -> str:
    keys = dict.fromkeys(name for found in models for name in found.model_fields)
    return f"a mapping with the keys {', '.join(keys)}"


def _number(kind: str, schema: dict[str, Any]) -> str:
    text = "an integer" if kind == "integer" else "a finite number"
    if "minimum" in schema and "maximum" in schema:
        low, high = (
            f"{bound:g}" if isinstance(bound, float) else str(bound)
            for bound in (schema["minimum"], schema["maximum"])
        )
        return f"{text} from {low} to {high}"
    if "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']:g}"
    if "minimum" in schema:
        text += f" of at least {schema['minimum']:g}"
    return text


def _one_of(values: Iterable[str]) -> str:
    names = list(values)
    return names[0] if len(names) == 1 else "one of " + ", ".join(names)


def _tags(union: list[type[BaseModel]], discriminator: str) -> str:
    return _one_of(
        str(value)
        for member in union
        for value in get_args(member.model_fields[discriminator].annotation)
    )


def _has_tag(owner: type[BaseModel], tag: str) -> bool:
    return any(tag in get_args(info.annotation) for info in owner.model_fields.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _annotation(info: FieldInfo) -> Any:
    """Return what a field is annotated with, bounds and all."""
    annotation: Any = info.annotation
    for item in info.metadata:
        annotation = Annotated[annotation, item]
    return annotation
