"""Tasks as other trainers read them, with their own loaders."""

import json

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.cli import main
from tau_retail_env.evaluation.trainers import files, tasks
from tests.evaluation.trainers.loaders import SHIPPED, loaded, slime_checkout

VERL = """
import json, sys
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
config = OmegaConf.create({"max_prompt_length": 100000, "cache_dir": sys.argv[3], "filter_overlong_prompts_workers": 1})
data = RLHFDataset([sys.argv[1]], AutoTokenizer.from_pretrained(sys.argv[2]), config)
batch = collate_fn([data[0], data[1]])
row = data[0]
print(json.dumps({
    "rows": len(data),
    "agent_name": list(batch["agent_name"]),
    "raw_prompt": row["raw_prompt"],
    "interaction": row["interaction_kwargs"],
    "index": [row["index"], data[1]["index"]],
    "tools": json.loads(row["extra_info"]["tools"]),
    "truth": json.loads(row["reward_model"]["ground_truth"]),
    "columns": sorted(row),
}))
"""
SLIME = """
import json, sys
from transformers import AutoTokenizer
from slime.utils.data import Dataset
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
keys = {"prompt_key": "prompt", "label_key": "label", "tool_key": "tools"}
data = Dataset(sys.argv[1], tokenizer, None, None, apply_chat_template=True, **keys)
plain = Dataset(sys.argv[1], tokenizer, None, None, prompt_key="index")
print(json.dumps([len(data), data[1].prompt, data[1].label, data[1].metadata, plain[1].prompt]))
"""
SPLITS = {"train": 74, "test": 40}


@pytest.fixture
def written(tmp_path, capsys):
    """Writes tasks as a command does, and returns the folder and what was said."""

    def write(*options):
        assert main(["convert", *options, "--output", str(tmp_path / "data")]) == 0
        return tmp_path / "data", capsys.readouterr().out

    return write


def test_verls_step_tells_the_lengths_of_both_splits(written):
    folder, said = written("tau2", "--to", "verl")
    assert said == "train dataset len : 74\ntest dataset len : 40\n"
    assert sorted(path.name for path in folder.iterdir()) == ["test.parquet", "train.parquet"]


def test_verls_step_tells_the_lengths_of_v1(written, tau_bench):
    _, said = written("tau_bench", "--to", "verl")
    assert said == "train dataset len : 500\ntest dataset len : 115\n"


def test_verls_own_dataset_reads_what_its_agent_loop_wants(written, tmp_path):
    folder, _ = written("tau2", "--to", "verl")
    found = loaded("verl.utils.dataset.rl_dataset", VERL, folder / "train.parquet", SHIPPED, tmp_path / "cache")
    first = load_tasks("tau2", "train")[0]
    env = TauRetailEnv("tau2", "train")
    _, info = env.reset(task_id=first.id, seed=0)
    assert found["rows"] == 74
    assert found["agent_name"] == ["tau_retail", "tau_retail"]
    assert found["index"] == [0, 1]
    assert found["raw_prompt"] == [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
    assert found["tools"] == info["tools"]
    place = {"source": "tau2", "task_version": "0.2", "split": "train", "task_id": first.id, "seed": 0}
    assert found["interaction"] == {"name": "tau_retail", **place}
    assert [action["name"] for action in found["truth"]["actions"]] == [action.name for action in first.actions]
    assert {"data_source", "ability", "reward_model", "extra_info", "agent_name"} <= set(found["columns"])


def test_slimes_own_dataset_reads_prompts_with_tools_and_numbers(written):
    folder, said = written("tau2", "--to", "slime")
    assert said == "train dataset len : 74\ntest dataset len : 40\n"
    path = slime_checkout()
    count, prompt, label, metadata, number = loaded(
        "slime.utils.data", SLIME, folder / "test.jsonl", SHIPPED, path=path
    )
    second = load_tasks("tau2", "test")[1]
    assert (count, label, number) == (40, second.id, 1)
    assert "Hi! How can I help you today?" in prompt
    assert metadata["task_id"] == second.id and metadata["source_name"] == "tau_retail/tau2"
    assert metadata["tools"][0]["type"] == "function"


def test_a_folder_for_trl_is_one_of_hugging_face(written):
    datasets = pytest.importorskip("datasets")
    folder, _ = written("tau2", "--to", "trl", "--subset", "returns", "--prompt-style", "minimal")
    found = datasets.load_dataset(str(folder), cache_dir=str(folder / "cache"))
    assert {name: len(rows) for name, rows in found.items()} == {
        split: len(load_tasks("tau2", split, "returns")) for split in SPLITS
    }
    row = found["test"][0]
    assert row["task_id"] == load_tasks("tau2", "test", "returns")[0].id
    assert [message["role"] for message in row["prompt"]] == ["system", "assistant", "user"]
    assert row["prompt"][0]["content"] == "Retail support agent."
    assert row["tools"] == []


def test_tools_keep_their_shape_in_parquet(written):
    datasets = pytest.importorskip("datasets")
    folder, _ = written("tau2", "--to", "trl")
    row = datasets.load_dataset(str(folder), cache_dir=str(folder / "cache"))["train"][0]
    _, info = TauRetailEnv("tau2", "train").reset(task_id=row["task_id"], seed=0)
    assert json.dumps(row["tools"]) == json.dumps(info["tools"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["tau2", "--to", "llama-factory"], "tau-retail eval --agent oracle --source tau2 --split train"),
        (["outputs", "--to", "verl"], "FROM must be a source (tau2, tau_bench, generated"),
        (["tau2", "--to", "verl", "--subset", "nonsense"], "Unknown --subset 'nonsense'"),
        (["tau2", "--to", "slime", "--prompt-style", "long"], "Unknown --prompt-style 'long'"),
    ],
)
def test_what_does_not_fit_a_trainer_is_refused(tmp_path, capsys, words, named):
    assert main(["convert", *words, "--output", str(tmp_path / "data")]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_subset_that_one_split_lacks_leaves_no_file_behind(tmp_path, capsys):
    subset = "returns*address"
    assert len(load_tasks("tau2", "train", subset)) == 2
    assert main(["convert", "tau2", "--to", "slime", "--subset", subset, "--output", str(tmp_path / "data")]) == 2
    assert "returns*address" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_without_the_package_datasets_parquet_names_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert main(["convert", "tau2", "--to", "verl", "--output", str(tmp_path / "data")]) == 2
    assert "pip install 'datasets>=4.7'" in capsys.readouterr().err


def test_an_interrupted_file_is_not_there(tmp_path):
    def rows():
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_lines(tmp_path / "train.jsonl", rows())
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_says_how_to_play_just_this_task():
    prompt = next(tasks.prompts_of(tasks.Selection(source="generated", seed=3), "test"))
    env = TauRetailEnv("generated", "test")
    _, info = env.reset(task_id=prompt.place["task_id"], seed=prompt.place["seed"])
    assert list(prompt.messages[1:]) == info["messages"]
