"""Trackers that keep metrics elsewhere: what is refused before a run starts."""

import sys
from types import SimpleNamespace

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.local.config import check_local, check_sft
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.runs import trackers
from tau_retail_env.runs.episode_table import row_of
from tests.plain_trajectory import plain_trajectory

CHECKS = {"tau_retail_local": check_local, "tau_retail_sft": check_sft, "tau_retail_1gpu": check_roll}


@pytest.mark.parametrize(
    ("name", "beside_roll", "command"),
    [
        ("wandb", False, "pip install 'wandb'"),
        ("wandb", True, "pip install 'wandb<=0.28.0'"),
        ("trackio", False, "pip install 'trackio'"),
        ("swanlab", True, "pip install 'swanlab'"),
    ],
)
def test_one_that_is_not_installed_is_refused_with_the_command(monkeypatch, name, beside_roll, command):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda found: None)
    with pytest.raises(MissingDependencyError, match=command):
        trackers.check_tracker(name, beside_roll=beside_roll)
    trackers.check_tracker("tensorboard", beside_roll=beside_roll)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("{api_key: hunter2}", "tracker_kwargs.api_key"),
        ("{login_kwargs: {api_key: hunter2}}", "tracker_kwargs.login_kwargs.api_key"),
        ("{settings: {identity_token_file: hunter2}}", "tracker_kwargs.settings.identity_token_file"),
        ("{settings: [{api-key: hunter2}]}", "tracker_kwargs.settings[0].api-key"),
        ("{notes: 'http://me:hunter2@proxy'}", "tracker_kwargs.notes"),
        ("{settings: {base_url: 'https://host/?api_key=hunter2'}}", "tracker_kwargs.settings.base_url"),
    ],
)
def test_a_secret_is_refused_without_being_told(name, given, path):
    with pytest.raises(InvalidValueError) as caught:
        CHECKS[name](compose(name, overrides=["track_with=wandb", f"tracker_kwargs={given}"]))
    assert f"{path}: secrets come from the environment only" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *((name, True) for name in ("accessToken", "tokens", "auth", "authorization", "bearer", "pwd", "private_key")),
        *((name, True) for name in ("ACCESS_KEY", "login_key", "APIKey", "token2", "password1", "identity_token_file")),
        *((name, False) for name in ("max_tokens", "group_key", "key", "author", "tokenizer", "project", "keyboard")),
    ],
)
def test_a_name_tells_a_secret(name, is_secret):
    assert trackers.is_secret(name) == is_secret


@pytest.mark.parametrize("name", CHECKS)
def test_other_arguments_pass(name):
    CHECKS[name](
        compose(
            name,
            overrides=[
                "track_with=wandb",
                "tracker_kwargs={project: p, tags: [a], settings: {max_new_tokens: 5, tokenizer: b}}",
            ],
        )
    )


def test_trackio_is_refused_beside_roll():
    with pytest.raises(InvalidValueError, match=r"track_with: trackio cannot be honoured\..*does not take"):
        check_roll(compose("tau_retail_1gpu", overrides=["track_with=trackio"]))


def test_a_run_has_its_folders_name_unless_told_otherwise():
    assert trackers.run_arguments("wandb", "run_1", {}) == {"project": "tau-retail", "name": "run_1"}
    assert trackers.run_arguments("swanlab", "run_1", {"project": "p"}) == {"project": "p", "experiment_name": "run_1"}


@pytest.mark.parametrize(("name", "num_tables"), [("wandb", 1), ("trackio", 0)])
def test_wandb_alone_has_a_place_for_a_table_of_episodes(name, num_tables, monkeypatch, tmp_path):
    logged = []
    library = SimpleNamespace(
        init=lambda **settings: SimpleNamespace(name="run"),
        define_metric=lambda *names, **settings: None,
        Table=lambda columns, data: data,
        log=logged.append,
    )
    monkeypatch.setitem(sys.modules, name, library)
    trackers.Hosted(name, tmp_path, {}).show([row_of(plain_trajectory(), 5)], 5)
    assert logged == [{"episodes": [[5, "tau2/1", 0, 0.0, "user_stop", ""]], "step": 5}] * num_tables


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("tracker", ["tensorboard", "stdout"])
def test_arguments_that_reach_nobody_are_refused(name, tracker):
    with pytest.raises(InvalidValueError, match=f"tracker_kwargs: track_with {tracker} takes none"):
        CHECKS[name](compose(name, overrides=[f"track_with={tracker}", "tracker_kwargs={project: p}"]))


def test_what_roll_does_not_hand_to_wandb_is_refused():
    with pytest.raises(InvalidValueError, match=r"tracker_kwargs.entity: ROLL hands W&B only project, name"):
        check_roll(compose("tau_retail_1gpu", overrides=["track_with=wandb", "tracker_kwargs={entity: e}"]))
    check_local(compose("tau_retail_local", overrides=["track_with=wandb", "tracker_kwargs={entity: e}"]))
