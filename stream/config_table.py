"""The table of settings in README.md: `python -m stream.config_table` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stream.config import PREFIX, Settings

_MARKS = re.compile(r"(<!-- settings:[^\n]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def table() -> str:
    """All settings as a Markdown table."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            lines += [_line(f"{section}_{name}", each) for name, each in model.model_fields.items()]
        else:
            lines.append(_line(section, field))
    return "\n".join(lines) + "\n"


def _line(name: str, field: FieldInfo) -> str:
    default = field.default
    if default is None or isinstance(default, SecretStr):
        shown = ""
    elif isinstance(default, list):
        shown = f"`{','.join(default)}`"
    else:
        shown = f"`{default}`"
    return f"| `{(PREFIX + name).upper()}` | {shown} | {field.description} |"


def filled(text: str) -> str:
    """A document with the table between its marks."""
    return _MARKS.sub(lambda found: found.group(1) + table() + found.group(2), text)


if __name__ == "__main__":
    readme = Path(__file__).parent.parent / "README.md"
    readme.write_text(filled(readme.read_text("utf-8")), "utf-8")
