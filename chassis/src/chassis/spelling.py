"""The field that a client probably meant by an unknown name in a request."""

from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args, get_type_hints

from pydantic import BaseModel

# difflib's ratio of two names without case and underscores. A wrong, missing or swapped letter is nearer, and so are
# `voice` (voiceId) and `usr_id` (userId). `user` is as far from `userId` (0.80), and could be `userName` as well.
NEAR: Final = 0.82
# Of a field that the request lacks; `user` and `name` are as near to `userName` (0.67).
NEAR_MISSING: Final = 0.65
_MAX_CHARS: Final = 64


def meant(endpoint: Callable[..., object], location: Sequence[str | int], missing: Collection[str] = ()) -> str | None:
    """The field, as the API spells it, that is nearest to an unknown one; None if none is near.

    Args:
        endpoint: The function of the route; a parameter of it is the body.
        location: The path to the unknown field in the body, with the positions in lists.
        missing: The required fields that the same object lacks; a name may be farther from one of them.
    """
    *path, unknown = (step for step in location if isinstance(step, str))
    hints = get_type_hints(endpoint)
    models = [model for name, hint in hints.items() if name != "return" for model in _models(hint)]
    for step in path:
        models = [model for field in _fields(models, step) for model in _models(field)]
    known = {_plain(name): name for model in models for name in _names(model)}
    plain = _plain(unknown)[: _MAX_CHARS + 1]
    lacking = [name for name in known if known[name] in missing]
    near = get_close_matches(plain, list(known), n=1, cutoff=NEAR)
    near = near or get_close_matches(plain, lacking, n=1, cutoff=NEAR_MISSING)
    return known[near[0]] if near else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, such as Tool in tuple[Tool, ...] | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _fields(models: Sequence[type[BaseModel]], step: str) -> Iterator[Any]:
    """The types of the fields with this name."""
    for model in models:
        for name, field in model.model_fields.items():
            if step in (name, field.alias):
                yield field.annotation


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
