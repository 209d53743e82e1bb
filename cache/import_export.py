"""Features in and out of a cache: NumPy files per video, one HDF5 file, safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from ..errors import CacheError, ConfigError, counted
from .durable import atomic_file, canonical_json, digest_file, wrap_io_errors
from .labels import composed
from .layout import write_features
from .locks import writing
from .store import FeatureStore
from .timeline import Valid

FORMATS = ("npy", "hdf5", "safetensors")
_FACES = {"box": (np.float32, (4,)), "track": (np.uint16, ())}  # type and shape of a row
_BLOCK_ROWS = 16_384


def export_stream(
    store: FeatureStore, stream: str, target: Path, *, form: str, videos: Sequence[str] = ()
) -> list[Path]:
    """Write a stream of all (or the named) items.

    `npy`: `target/<item>.npy` [T, D] and `target/<item>.valid.npy` [T]; where faces were followed
    also `target/<item>.box.npy` [T, 4] and `target/<item>.track.npy` [T].
    `hdf5`, `safetensors`: one file with `<item>/features`, `<item>/valid` and so on.

    Raises:
        ConfigError: unknown form, nothing to export, or the target exists.
        CacheError: rows are missing, or the disk refuses.
    """
    if form not in FORMATS:
        raise ConfigError(f"export form `{form}` is none of {', '.join(FORMATS)}")
    items = list(videos) or [item for item in store.videos() if store.has(item, stream)]
    if not items:
        raise ConfigError(f"no video in {store.root} has rows of `{stream}`; nothing to export")
    if target.exists():
        raise ConfigError(f"{target} exists; name a new file or folder")
    if form != "safetensors":  # whose names are any texts
        _check_names(items, form, target)
    if form == "npy":
        return [path for item in items for path in _export_npy(store, stream, target, item)]
    with atomic_file(target) as partial, wrap_io_errors(target):
        if form == "hdf5":
            _export_hdf5(store, stream, partial, items)
        else:
            _export_safetensors(store, stream, partial, items)
    return [target]


def _check_names(items: Sequence[str], form: str, target: Path) -> None:
    """Refuse items of which one's name in the export would be another's, or a folder of it.

    Files count as the same where they differ in case only, as on some file systems.
    """
    taken: dict[str, str] = {}
    for item in items:
        name = PurePosixPath(item)
        if form == "npy" and (name.is_absolute() or ".." in name.parts):
            raise ConfigError(f"item `{item}` would be written outside {target}; use --format hdf5")
        for array in ("features", "valid", *_FACES):
            path = f"{name}{_suffix(array) if form == 'npy' else f'/{array}'}".lstrip("/")
            if form == "npy":
                path = composed(path).casefold()
            other = taken.setdefault(path, item)
            if other != item:
                raise _clash(other, item, path)
    for path, item in taken.items():
        for folder in PurePosixPath(path).parents:
            if str(folder) in taken:
                raise _clash(taken[str(folder)], item, str(folder))


def _clash(one: str, other: str, name: str) -> ConfigError:
    return ConfigError(
        f"items `{one}` and `{other}` would both be `{name}` in the export; use --format "
        "safetensors, or export them one by one with --video"
    )


def _arrays(store: FeatureStore, stream: str, item: str) -> dict[str, np.ndarray]:
    """All that is stored of an item; no boxes where there is not one."""
    arrays = {"features": store.read(item, stream), "valid": store.status(item, stream)}
    faces = {"box": store.boxes(item, stream), "track": store.tracks(item, stream)}
    return {**arrays, **(faces if faces["track"].any() else {})}


def _suffix(array: str) -> str:
    return ".npy" if array == "features" else f".{array}.npy"


def _export_npy(store: FeatureStore, stream: str, folder: Path, item: str) -> list[Path]:
    paths = []
    for name, values in _arrays(store, stream, item).items():
        path = folder / f"{item}{_suffix(name)}"
        with atomic_file(path) as partial, wrap_io_errors(path), partial.open("wb") as handle:
            np.save(handle, values)
        paths.append(path)
    return paths


def _export_hdf5(store: FeatureStore, stream: str, path: Path, items: Sequence[str]) -> None:
    with h5py.File(path, "w", locking=False) as file:
        file.attrs["stream"], file.attrs["key"] = stream, store.key(stream)
        for item in items:
            group = file.create_group(item)
            for name, values in _arrays(store, stream, item).items():
                group[name] = values


def _export_safetensors(store: FeatureStore, stream: str, path: Path, items: Sequence[str]) -> None:
    from safetensors.numpy import save_file

    tensors = {
        f"{item}/{name}": values
        for item in items
        for name, values in _arrays(store, stream, item).items()
    }
    save_file(tensors, path, metadata={"stream": stream, "key": store.key(stream)})


def import_stream(
    store: FeatureStore, stream: str, folder: Path, *, modality: str, dtype: str = "float16"
) -> list[str]:
    """Take `folder/<item>.npy` [T, D] (and what `export_stream` writes beside) in as a stream.

    Every file must have as many rows as the item's timeline has frames; nothing is taken in
    before all files were checked. The key is the digest of the name and the files' content.

    Returns:
        The ids of the items taken in.

    Raises:
        ConfigError: no files, or a file that belongs to no item.
        CacheError: a length that differs from the timeline's, a wrong shape, or the disk refuses.
    """
    found = sorted(folder.rglob("*.npy"))
    beside = {path.with_suffix(_suffix(name)) for path in found for name in ("valid", *_FACES)}
    files: dict[str, Path] = {}
    for path in found:
        if path in beside:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        item = composed(name)
        if files.setdefault(item, path) != path:
            raise ConfigError(f"{path} and {files[item]} are both of `{item}`; remove one")
    if not files:
        raise ConfigError(f"{folder}: no <video>.npy file in it")
    known = set(store.videos()) if modality == "visual" else set(store.sources())
    strangers = sorted(files.keys() - known)
    if strangers:
        raise ConfigError(
            f"{folder}: {counted(len(strangers), 'file')} of no video in {store.root}: "
            f"{', '.join(strangers[:5])}; extract the videos first, so that timelines are there"
        )
    dims = {item: _check_import(store, item, path) for item, path in files.items()}
    if len(set(dims.values())) != 1:
        raise CacheError(f"{folder}: rows of different widths D: {sorted(set(dims.values()))}")
    digests = {item: digest_file(path) for item, path in files.items()}
    config = {"imported": stream, "content": hashlib.sha256(canonical_json(digests)).hexdigest()}
    key = hashlib.sha256(canonical_json(config)).hexdigest()
    with writing(store.root):
        for item, path in files.items():
            values, codes = _load(path), _import_codes(path, store.rows(item))
            faces = _import_faces(path, store.rows(item))
            with write_features(
                store.root,
                item,
                stream=stream,
                key=key,
                modality=modality,
                rows=len(values),
                dim=dims[item],
                source=store.source(item),
                config=config,
                dtype=dtype,
                faces=bool(faces),
            ) as shard:
                arrays = {"features": values, "valid": codes, **faces}
                for start in range(0, len(values), _BLOCK_ROWS):
                    rows = slice(start, start + _BLOCK_ROWS)
                    shard.append(**{name: each[rows] for name, each in arrays.items()})
                if digest_file(path) != digests[item]:
                    raise CacheError(f"{path} changed while it was imported; import it again")
    return list(files)


def _load(path: Path) -> np.ndarray:
    """A mapped .npy file."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("an archive of arrays")
    except (OSError, ValueError, EOFError) as error:
        raise CacheError(f"cannot read {path}: {error}; it is to be one array in .npy") from error
    return values


def _check_import(store: FeatureStore, item: str, path: Path) -> int:
    """Width D of a file whose rows fit the timeline."""
    values = _load(path)
    rows = store.rows(item)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise CacheError(f"{path}: {values.dtype} {list(values.shape)}; expected numbers [T, D]")
    if len(values) != rows:
        raise CacheError(
            f"{path}: {counted(len(values), 'row')} for a timeline of {counted(rows, 'frame')}; "
            "nothing was imported. One row per frame of the video is needed"
        )
    _import_codes(path, rows)
    _import_faces(path, rows)
    return values.shape[1]


def _import_faces(path: Path, rows: int) -> dict[str, np.ndarray]:
    """Boxes and tracks beside the file; nothing where there are none."""
    files = {name: path.with_suffix(_suffix(name)) for name in _FACES}
    missing = [file for file in files.values() if not file.exists()]
    if len(missing) == len(files):
        return {}
    if missing:
        raise CacheError(f"{missing[0]}: no such file; boxes and tracks belong together")
    arrays = {name: _load(file) for name, file in files.items()}
    for name, values in arrays.items():
        dtype, row = _FACES[name]
        if values.dtype != dtype or values.shape != (rows, *row):
            raise CacheError(
                f"{files[name]}: {values.dtype} {list(values.shape)}; expected "
                f"{np.dtype(dtype)} {[rows, *row]}"
            )
    return arrays


def _import_codes(path: Path, rows: int) -> np.ndarray:
    """Validity beside the file, or every row taken as usable."""
    beside = path.with_suffix(".valid.npy")
    if not beside.exists():
        return np.full(rows, Valid.IMPORTED, np.uint8)
    codes = _load(beside)
    if codes.shape != (rows,):
        raise CacheError(
            f"{beside}: shape {list(codes.shape)} beside {counted(rows, 'row')} of features"
        )
    if codes.dtype != np.uint8:
        raise CacheError(f"{beside}: {codes.dtype}; validity codes are uint8")
    return codes
