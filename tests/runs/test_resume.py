"""The run that `resume=FOLDER` means, and the configuration that it is resumed with."""

from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.resume import check_same_run, differences, read_config, run_to_resume, with_users_reached_anew


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("exp_name: short\nmax_steps: 5\n")
    return tmp_path / "run"


@pytest.mark.parametrize("key", ["resume", "+resume", "++resume", "resume_from_checkpoint"])
def test_a_folder_of_a_run_or_of_its_checkpoint_means_the_run(run: Path, key: str):
    for folder in (run, run / "checkpoints" / "checkpoint-5", f"'{run}'"):
        assert run_to_resume(["max_steps=9", f"{key}={folder}"]) == run


@pytest.mark.parametrize("override", ["resume=true", "resume=False", "resume=null", "resume=nowhere", "resumed=x"])
def test_what_names_no_run_means_none(run: Path, override: str):
    assert run_to_resume([override]) is None


def test_the_last_override_counts(run: Path):
    assert run_to_resume([f"resume={run}", "resume=false"]) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no run"),
        (b"exp_name: \xff\xfe", "config.yaml cannot be read .*begin a new run"),
        (b"exp_name: [", "config.yaml cannot be read"),
        (b"- 1\n", "it holds list, expected keys and values"),
        (b"", "it holds NoneType"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_an_error_with_the_way_on(run: Path, content: bytes | None, words: str):
    (run / "config.yaml").unlink()
    if content is not None:
        (run / "config.yaml").write_bytes(content)
    with pytest.raises(InvalidValueError, match=words):
        read_config(run)


@pytest.mark.parametrize("name", ["eval.json", "tau2_test/eval.json"])
def test_the_folder_of_an_evaluation_is_told_how_that_goes_on(tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(InvalidValueError, match=r"holds no run .*; an evaluation goes on by its own command"):
        read_config(tmp_path)


def test_environments_follow_the_block_about_the_customer():
    own = {"base_url": "http://there"}
    stored = {
        "user": {"budget_usd": 5},
        "custom_envs": {
            "train": {"env_config": {"user_config": {"budget_usd": 5}}},
            "other": {"env_config": {"user_config": own}},
        },
    }
    values = {**stored, "user": {"budget_usd": 10}}
    followed = with_users_reached_anew(stored, values)["custom_envs"]
    assert followed["train"]["env_config"]["user_config"] == {"budget_usd": 10}
    assert followed["other"]["env_config"]["user_config"] == own


def test_what_may_not_differ_is_named_with_both_values(run: Path):
    with pytest.raises(InvalidValueError, match=r"differs in seed \(1 there, 2 here\)"):
        check_same_run(run, {"seed": 1, "max_steps": 5}, {"seed": 2, "max_steps": 9}, {"max_steps"})


def test_how_a_customer_is_reached_may_differ_and_the_same_key_elsewhere_may_not(run: Path):
    stored = {"user": {"timeout_s": 5, "temperature": 0}, "env": {"user_config": {"timeout_s": 5}, "timeout_s": 5}}
    reached = {"user": {"timeout_s": 9, "temperature": 0}, "env": {"user_config": {"timeout_s": 9}, "timeout_s": 5}}
    check_same_run(run, stored, reached, ())
    with pytest.raises(InvalidValueError, match=r"differs in user.temperature \(0 there, 1 here\)\."):
        check_same_run(run, stored, {**reached, "user": {"timeout_s": 9, "temperature": 1}}, ())
    with pytest.raises(InvalidValueError, match=r"differs in env.timeout_s \(5 there, 9 here\)\."):
        check_same_run(run, stored, {**reached, "env": {"user_config": {"timeout_s": 9}, "timeout_s": 9}}, ())


@pytest.mark.parametrize("environments", [[], "x", None])
def test_environments_that_are_no_block_are_left_to_the_check(environments):
    values = {"user": {}, "custom_envs": environments}
    assert with_users_reached_anew(values, values) == values


def test_a_block_in_the_place_of_a_value_is_one_difference():
    assert list(differences({"a": {"b": 1}, "c": 2}, {"a": 3, "c": 2})) == ["a ({'b': 1} there, 3 here)"]
    assert list(differences({"a": {"b": 1}}, {"a": {"b": 2}})) == ["a.b (1 there, 2 here)"]
