"""Records: what a result must contain, and how it is read, those of the version before included.

There is one schema. Its ``kind`` says what else a record holds beside its claim, its conditions and its verdict:

* ``drawn``: parts, each measured in draws;
* ``trained``: parts, measured on trainings, and the grid from which each arm has its rate;
* ``curves``: a grid, and arms with the accuracy curves of their seeds, their mean and their steps to a target;
* ``claims``: the records of several claims that were run together.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtraError, installing
from .upgrade import SCHEMA, upgraded

__all__ = ["SCHEMA", "Record", "load_record", "validate"]

Record = Mapping[str, Any]


def load_record(path: Path) -> dict[str, Any]:
    """Read a ``result.json``, or the one of a run directory, and check it against the schema.

    A record of version 0.1 is read as one of today.

    Raises: DataError when there is none, or it is not a record.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"a record must exist, received {file}, which does not; finish the run (--resume) or give another"
        ) from error
    except (OSError, RecursionError, ValueError) as error:
        raise DataError(f"a record must be JSON, received {file}, which cannot be read so ({error})") from error
    if isinstance(record, dict):
        try:
            record = upgraded(record)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"a record must follow the schema that it names, but {file} does not follow {record['schema']} "
                f"({type(error).__name__}: {error}); run it again"
            ) from error
    validate(record)
    return dict(record)


def validate(record: Record) -> None:
    """Check a record against the schema, that of a run of claims with each of its records.

    Raises: DataError that names the first place that does not fit.
    """
    try:
        import jsonschema
    except ImportError as error:
        raise MissingExtraError(f"records need jsonschema, which is not installed; run: {installing('lab')}") from error
    flaw = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_schema()).iter_errors(record))
    if flaw is not None:
        raise DataError(f"a record must follow {SCHEMA}, but at {flaw.json_path}: {flaw.message[:200]}; run it again")
    for one in record.get("records", ()):
        validate(one)


@cache
def _schema() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("record.schema.json").read_text(encoding="utf-8")))
