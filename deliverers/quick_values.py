"""Frozen values of which every event or delivery makes several."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quickly_made(cls: type[T]) -> type[T]:
    """Give a frozen dataclass an `__init__` of the same signature that takes half of the time.

    A frozen dataclass sets its fields by `object.__setattr__`, which looks each name up. The slots' own descriptors do
    not, and neither does the dictionary of an object without slots. Fields that are only keywords, and those that are
    no argument, are not supported.
    """
    has_slots = "__slots__" in cls.__dict__
    # The generated code names nothing that a field may be called.
    names: dict[str, Any] = {"_MISSING": MISSING}
    parameters, lines = [], [] if has_slots else [" _values = self.__dict__"]
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass, or this raises TypeError
        name, value = field.name, field.name
        if field.kw_only or not field.init:
            raise TypeError(f"{cls.__name__}.{name} is a kind of field that quickly_made() does not know")
        if has_slots:
            names[f"_set_{name}"] = cls.__dict__[name].__set__
        default = field.default
        if field.default_factory is not MISSING:
            names[f"_make_{name}"], value = field.default_factory, f"_make_{name}() if {name} is _MISSING else {name}"
            parameters.append(f"{name}=_MISSING")
        elif default is not MISSING:
            names[f"_default_{name}"] = default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        lines.append(f" _set_{name}(self, {value})" if has_slots else f" _values[{name!r}] = {value}")
    made: dict[str, Any] = {}
    code = f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines)
    exec(code, names, made)  # noqa: S102  (as dataclasses do; it has names of fields, and no foreign text)
    made["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = made["__init__"]  # type: ignore[method-assign]  # it takes the same arguments
    return cls
