import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from model.checkpoint import (
    META_FILE,
    WEIGHTS_FILE,
    CheckpointCorrupt,
    CheckpointNotFound,
    NonFiniteWeights,
    SchemaMismatch,
    TensorMismatch,
    load_checkpoint,
    save_checkpoint,
)


@pytest.fixture
def folder(weights, tmp_path) -> Path:
    return Path(shutil.copytree(weights, tmp_path / "weights"))


def edit_meta(folder: Path, **changes) -> None:
    meta = json.loads((folder / META_FILE).read_text())
    (folder / META_FILE).write_text(json.dumps(meta | changes))


def edit_tensors(folder: Path, change) -> None:
    """Change tensors and make meta.json agree, so that only the deeper checks can notice."""
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    payload = save(tensors)
    (folder / WEIGHTS_FILE).write_bytes(payload)
    edit_meta(
        folder, weights_bytes=len(payload), weights_sha256=hashlib.sha256(payload).hexdigest()
    )


def test_what_is_saved_comes_back(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.model_version == "9.9.9"
    assert checkpoint.sets == ("BLB", "FDN")
    assert checkpoint.meta["metrics"] == {"top1": 0.5}
    assert checkpoint.table.names == ("Llanowar Elves", "Shock", "Fire // Ice", "Déjà Vu")
    assert not checkpoint.model.training
    again = folder.parent / "again"
    save_checkpoint(
        again,
        checkpoint.model,
        checkpoint.table,
        model_version="9.9.9",
        sets=checkpoint.sets,
        metrics=checkpoint.meta["metrics"],
        data=checkpoint.meta["data"],
        git_revision=checkpoint.meta["git_revision"],
    )
    twice = load_checkpoint(again)
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(twice.model.state_dict()[name], tensor)
    torch.testing.assert_close(twice.table.vectors, checkpoint.table.vectors, atol=0.02, rtol=0)


def test_the_table_holds_what_the_encoder_says(folder):
    from tests.unit.conftest import KNOWN

    checkpoint = load_checkpoint(folder)
    with torch.no_grad():
        encoded = checkpoint.model.encoder(
            torch.from_numpy(checkpoint.extractor.extract_many(KNOWN))
        )
    torch.testing.assert_close(checkpoint.table.vectors, encoded, atol=0.02, rtol=0)


@pytest.mark.parametrize("name", [META_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointNotFound, match=f"{name}: No such file"):
        load_checkpoint(folder)


def test_features_other_than_trained_on_are_refused(folder):
    edit_meta(folder, feature_schema={"version": 1, "hash": "0" * 64})
    with pytest.raises(SchemaMismatch, match="feature schema 000000000000…, this code extracts"):
        load_checkpoint(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / WEIGHTS_FILE
    payload = path.read_bytes()
    path.write_bytes(payload[:-100])
    with pytest.raises(CheckpointCorrupt, match=f"instead of {len(payload)}: truncated"):
        load_checkpoint(folder)


def test_one_changed_byte_is_refused(folder):
    path = folder / WEIGHTS_FILE
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)
    with pytest.raises(CheckpointCorrupt, match=r"sha256 .* damaged"):
        load_checkpoint(folder)


def test_a_file_that_is_no_safetensors_is_refused(folder):
    payload = b"\x80\x04pickle" * 10
    (folder / WEIGHTS_FILE).write_bytes(payload)
    edit_meta(
        folder, weights_bytes=len(payload), weights_sha256=hashlib.sha256(payload).hexdigest()
    )
    with pytest.raises(CheckpointCorrupt, match="not a safetensors file"):
        load_checkpoint(folder)


def test_a_missing_tensor_is_named(folder):
    edit_tensors(folder, lambda tensors: tensors.pop("network.affinity.bias"))
    with pytest.raises(TensorMismatch, match=r"missing: network\.affinity\.bias"):
        load_checkpoint(folder)


def test_an_extra_tensor_is_named(folder):
    edit_tensors(folder, lambda tensors: tensors.update({"network.more": torch.zeros(1)}))
    with pytest.raises(TensorMismatch, match=r"unexpected: network\.more"):
        load_checkpoint(folder)


def test_a_tensor_of_another_shape_is_named(folder):
    edit_tensors(folder, lambda tensors: tensors.update({"network.affinity.bias": torch.zeros(3)}))
    with pytest.raises(TensorMismatch, match=r"affinity\.bias has shape \(3,\) instead of \(16,\)"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, value):
    def spoil(tensors):
        tensors["network.affinity.bias"][2] = value

    edit_tensors(folder, spoil)
    with pytest.raises(NonFiniteWeights, match=r"network\.affinity\.bias holds NaN or infinity"):
        load_checkpoint(folder)


def test_bad_weights_never_replace_good_ones(folder):
    checkpoint = load_checkpoint(folder)
    before = (folder / WEIGHTS_FILE).read_bytes()
    checkpoint.model.affinity.bias.data[0] = float("nan")
    with pytest.raises(NonFiniteWeights):
        save_checkpoint(
            folder,
            checkpoint.model,
            checkpoint.table,
            model_version="1",
            sets=(),
            metrics={},
            data={},
            git_revision="",
        )
    assert (folder / WEIGHTS_FILE).read_bytes() == before


def test_names_and_vectors_must_agree(folder):
    def forget_a_card(tensors):
        tensors["card_table.names"] = torch.frombuffer(bytearray(b"a\nb"), dtype=torch.uint8)

    edit_tensors(folder, forget_a_card)
    with pytest.raises(TensorMismatch, match=r"card table: .*2 names"):
        load_checkpoint(folder)
    edit_meta(folder, cards=2)
    with pytest.raises(TensorMismatch, match="do not belong to 2 cards"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "field 'format' is missing or no int"),
    ],
)
def test_a_meta_file_that_cannot_be_read_is_refused(folder, content, message):
    (folder / META_FILE).write_text(content)
    with pytest.raises(CheckpointCorrupt, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, "format 1, this code reads 2"),
        ({"weights_sha256": None}, "'weights_sha256' is missing or no str"),
        ({"model_config": {}}, "model_config cannot be used"),
        ({"model_config": {"encoder": {"wings": 2}}}, "model_config cannot be used.*wings"),
        ({"model_config": {"encoder": {}, "hidden_dim": 0}}, "hidden_dim must be at least 1"),
    ],
)
def test_a_meta_file_with_a_wrong_field_is_refused(folder, changes, message):
    edit_meta(folder, **changes)
    with pytest.raises(CheckpointCorrupt, match=message):
        load_checkpoint(folder)
