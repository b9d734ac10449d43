"""How each shape is written on the wire, and how what comes back is read: every rewrite beside its inverse.

`to_wire` makes of a value what an endpoint would answer for it. `from_wire` makes of an answer the JSON that the full
schema describes; what it cannot read it leaves as it is, for the judge to name. `hydrate` makes of that JSON what the
model takes, where JSON alone does not say it all: which branch of a union, which bytes.
"""

from extract.schema.forms.compounds import (
    KEY,
    VALUE,
    Entries,
    Items,
    Parts,
    Properties,
    Property,
    class_of,
    extras_of,
    refuse_lost,
    value_of,
)
from extract.schema.forms.scalars import (
    Bound,
    Bytes,
    DecimalText,
    Enumerated,
    Form,
    JsonText,
    Reading,
    choice_of,
    is_choice,
)
from extract.schema.forms.unions import Union

__all__ = [
    "KEY",
    "VALUE",
    "Bound",
    "Bytes",
    "DecimalText",
    "Entries",
    "Enumerated",
    "Form",
    "Items",
    "JsonText",
    "Parts",
    "Properties",
    "Property",
    "Reading",
    "Union",
    "choice_of",
    "class_of",
    "extras_of",
    "is_choice",
    "refuse_lost",
    "value_of",
]
