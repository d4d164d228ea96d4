"""Mutated predictors: nothing altered is loaded, nothing in a file runs, and every refusal is named."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nasty import Rng, mutate_bytes

from routing_core.errors import ArtifactError
from routing_core.predict import DEFAULT, fit
from routing_core.predict.state import State
from routing_core.records.outcomes import Outcomes
from routing_core.store.predictors import _read, _write, load, save

pytestmark = pytest.mark.hostile

BLOCKS, CASES = 3, 40
ODD: tuple[Any, ...] = (
    None,
    -1,
    0,
    1e308,
    float("nan"),
    "",
    "os.system",
    [],
    {},
    [[]],
    True,
    10**30,
    "../x",
    [None],
    {"a": {}},
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small predictor."""
    rng, n = np.random.default_rng(0), 80
    outcomes = Outcomes(
        query_id=np.array([f"q{i}" for i in range(n)], object),
        task=np.array(["t", "u"], object)[rng.integers(0, 2, n)],
        prompt=[f"word{i % 7} and word{i % 11}" for i in range(n)],
        model=np.array(["a", "b"], object)[rng.integers(0, 2, n)],
        quality=rng.random(n).astype(np.float32),
        input_tokens=rng.integers(1, 50, n),
        output_tokens=rng.integers(1, 50, n),
        cost_usd=rng.random(n) * 1e-3,
        propensity=np.full(n, 0.5),
        logged_at=np.full(n, np.datetime64("2026-11-01", "us")),
    )
    root = tmp_path_factory.mktemp("predictors")
    return root / save(fit(outcomes, ("a", "b"), replace(DEFAULT, encoder="tfidf_svd", trees=2), seed=1), root)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_an_altered_artifact_is_refused_by_name(block: int, kept: Path, tmp_path: Path) -> None:
    """Bytes broken, files lost, swapped or led elsewhere: an ArtifactError that tells the predictor, each time."""
    for seed in range(block * CASES, (block + 1) * CASES):
        copy = tmp_path / str(seed) / kept.name
        shutil.copytree(kept, copy)
        _break_files(copy, np.random.default_rng([5, seed]))
        try:
            same = load(copy.parent, kept.name)
        except ArtifactError as error:
            assert kept.name in str(error)
        else:  # blanks after a header, or a file that was replaced by its like
            assert same.content_hash() == kept.name


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_forged_artifact_loads_as_data_or_is_refused_by_name(block: int, kept: Path, tmp_path: Path) -> None:
    """Under the right hash of the wrong content, too: whoever can write files cannot make loading break off or run."""
    for seed in range(block * CASES, (block + 1) * CASES):
        forged = _forged(_read(kept, kept.name), np.random.default_rng([6, seed]))
        root = tmp_path / str(seed)
        root.mkdir()
        _write(root / forged.content_hash(), forged)
        try:
            load(root, forged.content_hash())
        except ArtifactError as error:
            assert forged.content_hash() in str(error)


class _Payload:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("way", ["pickled array", "pickle", "pickle as JSON", "object header"])
def test_an_artifact_that_tries_to_run_code_does_not(way: str, kept: Path, tmp_path: Path) -> None:
    """A payload in place of an array or of the description is refused, and has not run."""
    proof, copy = tmp_path / "it ran", tmp_path / kept.name
    shutil.copytree(kept, copy)
    array, meta = copy / "0000.npy", copy / "predictor.json"
    if way == "pickled array":
        np.save(array, np.array([_Payload(proof)], dtype=object), allow_pickle=True)
    elif way == "object header":
        array.write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr': __import__('os').system('true'), }".ljust(128) + b"\n")
    else:
        (array if way == "pickle" else meta).write_bytes(pickle.dumps(_Payload(proof)))
    with pytest.raises(ArtifactError, match=kept.name):
        load(tmp_path, kept.name)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["", "..", "../../etc", "A" * 64, "0" * 63, f"{'0' * 64}/..", "'; --"])
def test_a_name_that_is_no_hash_opens_nothing(name: str, kept: Path) -> None:
    """A predictor's name is 64 hexadecimal digits; nothing else is ever joined to a path."""
    with pytest.raises(ArtifactError, match="64 hexadecimal digits"):
        load(kept.parent, name)


def _break_files(directory: Path, rng: Rng) -> None:
    """Break one file."""
    files = sorted(directory.iterdir())
    file, other = (files[int(k)] for k in rng.choice(len(files), 2, replace=False))
    raw, way = file.read_bytes(), int(rng.integers(0, 8))
    if way == 0:
        file.unlink()
    elif way == 1:
        file.write_bytes(other.read_bytes())
    elif way == 2:
        file.unlink()
        file.symlink_to("/dev/null")
    elif way == 3:
        file.unlink()
        file.mkdir()
    elif way == 4:
        (directory / "predictor.json").write_text("[" * 100_000)
    elif way == 5:
        (directory / "0000.npy").write_bytes(_huge_header())
    else:
        file.write_bytes(mutate_bytes(raw, rng))


def _huge_header() -> bytes:
    """An array that claims to be larger than any memory."""
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1048576), }".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _forged(state: State, rng: Rng) -> State:
    """The state with something replaced deep inside its description, or an array lost or of another shape."""
    meta, arrays = json.loads(json.dumps(state.meta)), dict(state.arrays)
    if rng.random() < 0.6:
        here = meta
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = keys[int(rng.integers(0, len(keys)))]
            if isinstance(here[key], dict | list) and here[key] and rng.random() < 0.8:
                here = here[key]
                continue
            here[key] = ODD[int(rng.integers(0, len(ODD)))]
            return State(meta, arrays)
    name = sorted(arrays)[int(rng.integers(0, len(arrays)))]
    odd = (np.zeros(0), np.zeros((2, 3, 4)), np.float64(1.0) * np.ones(()), np.full(3, np.nan), np.array([-1, 2**40]))
    if rng.random() < 0.3:
        del arrays[name]
    else:
        arrays[name] = odd[int(rng.integers(0, len(odd)))]
    return State(meta, arrays)
