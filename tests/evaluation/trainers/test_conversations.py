"""Conversations to fine-tune on: the same tokens as this package's encoder makes, by the trainers' loaders."""

import json

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, Episode, read_episodes
from tau_retail_env.evaluation.trainers.conversations import conversations_of, llama_factory_row
from tau_retail_env.messages import AgentMessage, ToolCall
from tests.evaluation.evaluations import TASKS, evaluate
from tests.evaluation.trainers.loaders import loaded
from tests.plain_trajectory import plain_trajectory

LLAMA_FACTORY = """
import json, os, sys
from types import SimpleNamespace
from datasets import load_dataset
from transformers import AutoTokenizer
from llamafactory.data.converter import SharegptDatasetConverter
from llamafactory.data.parser import get_dataset_list
from llamafactory.data.template import TEMPLATES
(attr,) = get_dataset_list(["tau_retail"], sys.argv[1])
rows = load_dataset("json", data_files=os.path.join(sys.argv[1], attr.dataset_name), cache_dir=sys.argv[3])["train"]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
convert = SharegptDatasetConverter(attr, SimpleNamespace(media_dir=sys.argv[1]))
found = []
for row in map(convert, rows):
    spoken = row["_prompt"] + row["_response"]
    pairs = TEMPLATES["qwen"].encode_multiturn(tokenizer, spoken, row["_system"], row["_tools"])
    found.append([[heard, said] for heard, said in pairs])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """The oracle's episodes of four tasks."""
    folder = tmp_path_factory.mktemp("oracle") / "evaluation"
    evaluate(folder, make_agent=lambda task, seed: OracleAgent(task), trials=1, agent="oracle")
    return folder


@pytest.fixture(scope="module")
def qwen(request):
    """Qwen2.5's tokenizer, and its folder."""
    transformers = pytest.importorskip("transformers")
    folder = request.getfixturevalue("shared_folder") / "tokenizers" / "qwen2_5"
    return transformers.AutoTokenizer.from_pretrained(folder), folder


def encoded(tokenizer):
    """What this package's own fine-tuning learns from, by task."""
    from tau_retail_env.local.conversations import encode

    env = TauRetailEnv(tasks=TASKS)
    return {task.id: encode(env, tokenizer, task_id=task.id, seed=0, show_tools=True) for task in TASKS}


def test_trl_learns_from_the_same_tokens_as_this_packages_own_fine_tuning(oracle, qwen, tmp_path):
    trl, transformers = pytest.importorskip("trl"), pytest.importorskip("transformers")
    from datasets import load_dataset

    assert main(["convert", str(oracle), "--to", "trl", "--output", str(tmp_path / "data")]) == 0
    rows = load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))["train"]
    tokenizer, _ = qwen
    sizes = dict.fromkeys(("hidden_size", "intermediate_size"), 8) | dict.fromkeys(
        ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1
    )
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=len(tokenizer), **sizes))
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "out"),
        max_length=None,
        report_to="none",
        assistant_only_loss=True,
        use_cpu=True,
        bf16=False,
        eos_token="<|im_end|>",
    )
    trainer = trl.SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    expected = encoded(tokenizer)
    after_the_last_turn = tokenizer.encode("\n")
    assert len(trainer.train_dataset) == len(TASKS)
    for row, task_id in zip(trainer.train_dataset, rows["task_id"], strict=True):
        ours = expected[task_id]
        assert list(row["input_ids"]) == [*ours.token_ids, *after_the_last_turn]
        learnt = [label != -100 for label in row["labels"]]
        assert all(is_learnt >= own for is_learnt, own in zip(learnt, ours.response_mask, strict=False))
        pairs = zip(row["labels"], [*ours.response_mask, 0], strict=True)
        besides = tokenizer.decode([label for label, own in pairs if label >= 0 and not own])
        assert besides.replace("\n", "") == "Hi! How can I help you today?<|im_end|>"


def test_llama_factory_learns_from_the_same_tokens_but_for_the_greeting(oracle, qwen, tmp_path):
    assert main(["convert", str(oracle), "--to", "llama-factory", "--output", str(tmp_path / "data")]) == 0
    tokenizer, folder = qwen
    found = loaded("llamafactory.data.template", LLAMA_FACTORY, tmp_path / "data", folder, tmp_path / "cache")
    greeting = tokenizer.encode("<|im_start|>assistant\nHi! How can I help you today?<|im_end|>\n")
    expected = encoded(tokenizer)
    played = [episode.trajectory.task_id for episode in read_episodes(oracle / EPISODES)]
    assert len(found) == len(TASKS)
    for pairs, task_id in zip(found, played, strict=True):
        theirs = [token for heard, said in pairs for token in [*heard, *said]]
        ours = expected[task_id]
        place = next(n for n in range(len(theirs)) if ours.token_ids[n : n + len(greeting)] == greeting)
        assert theirs == ours.token_ids[:place] + ours.token_ids[place + len(greeting) :] + tokenizer.encode("\n")


def test_only_successful_episodes_are_kept_and_splits_for_judging_are_named(tmp_path, capsys):
    folder = tmp_path / "evaluation"
    evaluate(folder, make_agent=lambda task, seed: [OracleAgent(task), SilentAgent()][seed], trials=2)
    assert main(["convert", str(folder), "--to", "llama-factory", "--output", str(tmp_path / "data")]) == 0
    said = capsys.readouterr().out
    assert "4 conversations of 8 episodes; 4 failed" in said
    assert "some are of the split test: a model trained on them cannot be judged on it" in said
    rows = [json.loads(line) for line in (tmp_path / "data" / "train.jsonl").read_text().splitlines()]
    assert [row["conversations"][0]["from"] for row in rows] == ["human"] * 4
    assert {row["conversations"][-1]["from"] for row in rows} == {"gpt"}
    info = json.loads((tmp_path / "data" / "dataset_info.json").read_text())
    assert info["tau_retail"]["file_name"] == "train.jsonl"


def test_a_run_without_a_success_is_refused(tmp_path, capsys):
    evaluate(tmp_path / "evaluation", trials=1)
    words = ["convert", str(tmp_path / "evaluation"), "--to", "llama-factory", "--output", str(tmp_path / "data")]
    assert main(words) == 2
    assert "None of the 4 episodes" in capsys.readouterr().err


def test_tools_that_the_system_prompt_tells_are_not_told_twice(tmp_path):
    folder = tmp_path / "evaluation"
    evaluate(folder, make_agent=lambda task, seed: OracleAgent(task), trials=1)
    found = [one for one in conversations_of(read_episodes(folder / EPISODES), "compressed") if one is not None]
    assert [one.tools for one in found] == [()] * len(TASKS)
    assert llama_factory_row(found[0])["tools"] == ""


def conversation(*messages, **changes):
    heard = ({"role": "system", "content": "Help."}, *messages)
    trajectory = plain_trajectory(messages=heard, reward=1.0, **changes)
    (found,) = conversations_of([Episode(0, trajectory)], "full")
    return found


def called(*calls, content=None):
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": str(n), "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for n, call in enumerate(calls)
        ],
    }


FIRST, SECOND = ToolCall("a", {"x": "1"}), ToolCall("b", {"y": [2, None]})
ASKS = {"role": "user", "content": "Hi"}
DONE = {"role": "assistant", "content": "Done."}


def answer(content):
    return {"role": "tool", "tool_call_id": "0", "name": "a", "content": content}


def test_words_beside_a_call_stand_before_its_tags():
    found = conversation(
        ASKS, called(FIRST, content="One moment."), answer("ok"), DONE, {"role": "user", "content": "."}
    )
    assert [message["value"] for message in llama_factory_row(found)["conversations"]] == [
        "Hi",
        'One moment.\n<tool_call>{"name": "a", "arguments": {"x": "1"}}</tool_call>',
        "ok",
        "Done.",
    ]


def test_several_calls_of_one_message_are_a_list_and_their_results_one_turn():
    found = conversation(ASKS, called(FIRST, SECOND), answer("ok"), answer("no"), DONE)
    spoken = llama_factory_row(found)["conversations"]
    assert json.loads(spoken[1]["value"]) == [
        {"name": "a", "arguments": {"x": "1"}},
        {"name": "b", "arguments": {"y": [2, None]}},
    ]
    assert spoken[2] == {"from": "observation", "value": "ok\n</tool_response>\n<tool_response>\nno"}


def test_a_conversation_in_which_nobody_takes_turns_has_no_row():
    assert llama_factory_row(conversation(ASKS, ASKS, DONE)) is None


def test_an_episode_in_which_the_agent_only_greets_has_no_conversation():
    assert conversation({"role": "assistant", "content": "Hi!"}, ASKS) is None


def test_a_models_own_text_and_an_agents_message_give_the_same_row():
    text = '<tool_call>\n{"name": "a", "arguments": {"x": "1"}}\n</tool_call>'
    written = conversation(ASKS, {"role": "assistant", "content": text}, answer("ok"), DONE)
    assert written.messages == conversation(ASKS, called(FIRST), answer("ok"), DONE).messages
    assert (
        AgentMessage(None, (FIRST,)).tool_calls[0].arguments
        == written.messages[2]["tool_calls"][0]["function"]["arguments"]
    )


def test_conversations_of_another_domain_are_refused_and_those_of_changed_tasks_are_not():
    with pytest.raises(InvalidValueError, match="tau2/airline/3 is a task of the domain airline"):
        conversation(ASKS, DONE, task_id="tau2/airline/3")
    _, info = TauRetailEnv("tau2", "train").reset(seed=0)
    assert list(conversation(ASKS, DONE, task_version="other").tools) == info["tools"]


@pytest.mark.parametrize("trainer", ["llama-factory", "trl"])
def test_half_a_surrogate_pair_that_a_customer_wrote_is_a_question_mark(trainer, tmp_path):
    if trainer == "trl":
        pytest.importorskip("datasets")
    evaluate(tmp_path / "e", make_agent=lambda task, seed: OracleAgent(task))
    lines = (tmp_path / "e" / EPISODES).read_text()
    (tmp_path / "e" / EPISODES).write_text(
        lines.replace('"role": "user", "content": "', '"role": "user", "content": "\\ud800')
    )
    assert main(["convert", str(tmp_path / "e"), "--to", trainer, "--output", str(tmp_path / "data")]) == 0
    if trainer == "llama-factory":
        assert any('"?' in path.read_text() for path in (tmp_path / "data").rglob("*.json*"))
