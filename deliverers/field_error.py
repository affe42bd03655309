"""An error about one field, for validators that look at several."""

from __future__ import annotations


class FieldError(ValueError):
    """A problem with one field, which a validator of the whole model, or of a mapping, raises.

    Args:
        message: What is wrong, without the value.
        place: The field, or the place in it, from the outside in: `"basic_password"`, or `"headers", "X-Api-Key"`. For
            a validator of a field, the place begins inside the field.
    """

    def __init__(self, message: str, *place: str) -> None:
        super().__init__(message)
        self.place = place
