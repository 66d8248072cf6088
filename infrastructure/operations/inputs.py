"""What an environment's Terraform is given: the defaults of variables.tf under its
terraform.tfvars.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import hcl2

from infrastructure.operations.environments import ENVIRONMENTS, VARIABLES, environment_folder
from infrastructure.operations.errors import ConfigurationError

# python-hcl2 keeps a variable's type as text; the defaults of an object's fields stand in it.
_OPTIONAL = re.compile(r"(\w+) = optional\((?:number|bool|string), ([^(){}]+?)\)")
_SIZES = re.compile(r"(\w+) = \{instance_types = (\[[^\]]*\]), ([^}]*)\}")


def read_inputs(environment: str) -> dict[str, Any]:
    """The value of every variable that has one.

    Raises ConfigurationError for files that are no HCL.
    """
    folder = environment_folder(environment)
    declared = _parse(ENVIRONMENTS.parent / "variables.tf").get("variable", [])
    given = _parse(folder / VARIABLES)
    values: dict[str, Any] = {}
    for block in declared:
        for quoted, body in block.items():
            name = quoted.strip('"')
            fields = _field_defaults(str(body.get("type", "")))
            if name in given:
                values[name] = _merge(fields, given[name])
            elif "default" in body:
                values[name] = _merge(fields, body["default"])
    return {name: _unquote(value) for name, value in values.items()}


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            parsed: dict[str, Any] = hcl2.load(file)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except Exception as error:  # python-hcl2 passes its parser's own exceptions on
        raise ConfigurationError(f"{path}: no HCL: {error}") from None
    return parsed


def _field_defaults(text: str) -> dict[str, Any]:
    fields = {key: _plain(value) for key, value in _OPTIONAL.findall(text)}
    sizes = {
        name: {"instance_types": ast.literal_eval(types)}
        | {key: _plain(value) for key, value in re.findall(r"(\w+) = ([^,]+)", rest)}
        for name, types, rest in _SIZES.findall(text)
    }
    return fields | ({"sizes": sizes} if sizes else {})


def _merge(fields: dict[str, Any], value: Any) -> Any:
    return fields | value if isinstance(value, dict) else value


def _plain(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _unquote(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key).strip('"'): _unquote(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_unquote(each) for each in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value
