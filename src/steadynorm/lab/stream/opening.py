"""Which kind of source a path is, and its splits."""

from pathlib import Path

from ...errors import DataError, MissingExtraError, installing
from .source import Source

__all__ = ["TRAIN", "VALIDATION", "open_split"]

TRAIN = ("train", "training")
VALIDATION = ("validation", "val", "test")


def open_split(
    path: str, names: tuple[str, ...], *, image: str | None = None, label: str | None = None
) -> Source | None:
    """Open one split of a data set, that of the first of these names which is there; None if none is.

    A split ``train`` is the files ``train-*.parquet`` or ``train*.tar`` of a folder or of its ``data``, or else its
    folder ``train``, of such files or with a folder of images for each class.

    Raises: DataError for a path that is no folder, or files that cannot be read; MissingExtraError without pyarrow or
        Pillow.
    """
    if path.startswith("hf:"):
        raise DataError(_from_the_hub(path.removeprefix("hf:")))
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(
            f"data must be a folder that exists, received {path}; give one with train-*.parquet, train-*.tar, or train/"
        )
    try:
        import PIL.Image  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"images need {error.name}, which is not installed; run: {installing('lab')}"
        ) from error
    for name in names:
        for room in (folder, folder / "data"):
            found = _files(sorted(room.glob(f"{name}-*.parquet")), sorted(room.glob(f"{name}*.tar")), image, label)
            if found is None and (room / name).is_dir():
                found = _folder(room / name, image, label)
            if found is not None:
                return found
    return None


def _folder(folder: Path, image: str | None, label: str | None) -> Source:
    found = _files(sorted(folder.glob("*.parquet")), sorted(folder.glob("*.tar")), image, label)
    if found is not None:
        return found
    from .folder import ImageFolder

    return ImageFolder(folder)


def _files(parquet: list[Path], tar: list[Path], image: str | None, label: str | None) -> Source | None:
    from .parquet import ParquetShards
    from .tar import TarShards

    if parquet:
        return ParquetShards(parquet, image=image, label=label)
    return TarShards(tar) if tar else None


def _from_the_hub(name: str) -> str:
    return (
        f"data must lie on this machine, received {name} on the hub; accept its licence, if it has one, at "
        f"https://huggingface.co/datasets/{name}, then fetch it with\n"
        f"  hf download {name} --repo-type dataset --local-dir {name.rpartition('/')[2]}\n"
        f"and give --data {name.rpartition('/')[2]}"
    )
