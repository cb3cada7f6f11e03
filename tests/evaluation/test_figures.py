"""The figures of an evaluation: failure kinds, rates over the same tasks, floors, costs, and their words."""

import dataclasses
import json

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.agents.bad import BoastingAgent, EagerAgent, ParrotAgent, QuitterAgent, SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.evaluation.facts import Facts, calls_of, facts_of
from tau_retail_env.evaluation.failures import KINDS, failures_of
from tau_retail_env.evaluation.outcome import figures, floor, interval_of
from tau_retail_env.evaluation.power import as_text as power_text
from tau_retail_env.evaluation.progress import words_of
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.report import as_text
from tau_retail_env.tasks import Action, Task
from tests.evaluation.evaluations import TASKS, evaluate, settings_of
from tests.plain_trajectory import plain_trajectory


def task_of(*actions, outputs=(), task_id="tau2/1"):
    return Task(task_id, "tau2", "retail", "test", "", tuple(Action(name, given) for name, given in actions), outputs)


def fact(number, trial, success, **numbers):
    return Facts(f"tau2/{number}", trial, 0, True, success, "user_stop", () if success else ("limit",), numbers=numbers)


def figures_of(facts, trials=2, tasks=(), spent=(), more_tasks=None):
    wanted = {one.task_id: "" for one in facts} | (more_tasks or {})
    return figures(dataclasses.replace(settings_of(trials=trials), tasks=wanted), facts, spent, tasks)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reward": 1.0}, ()),
        ({"scorable": False, "stop_reason": "user_error"}, ("customer",)),
        ({"reward_breakdown": {"wrong_writes": 1.0, "missing_writes": 2.0}}, ("wrong write", "missing write")),
        ({"reward_breakdown": {"extra_writes": 1.0, "outputs": 0.0}}, ("extra write", "not told")),
        ({"metrics": {"transfers": 1.0}}, ("transfer",)),
        ({"stop_reason": "max_steps", "metrics": {"turns": 50.0}}, ("limit",)),
        ({"stop_reason": "length", "metrics": {"turns": 4.0}}, ("limit",)),
        ({"stop_reason": "too_many_errors", "metrics": {"turns": 12.0, "malformed": 10.0}}, ("format",)),
        ({}, ("other",)),
    ],
)
def test_failures_are_told_by_the_breakdown_and_the_end(changes, expected):
    assert failures_of(plain_trajectory(**changes), task_of()) == expected
    assert set(expected) <= set(KINDS)


def test_a_missing_handover_is_a_failure_of_transfer():
    task = task_of(("transfer_to_human_agents", {"summary": ""}))
    assert failures_of(plain_trajectory(), task) == ("transfer",)
    assert failures_of(plain_trajectory(metrics={"transfers": 1.0}), task) == ("other",)


def test_calls_are_read_whichever_way_they_are_written_down():
    call = {"id": "1", "type": "function", "function": {"name": "a", "arguments": '{"x": 1}'}}
    messages = (
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": 'Wait. <tool_call>{"name": "b", "arguments": {}}</tool_call>'},
        {"role": "assistant", "content": "<tool_call>{broken"},
        {"role": "user", "content": '<tool_call>{"name": "c", "arguments": {}}</tool_call>'},
    )
    assert [one.name for one in calls_of(plain_trajectory(messages=messages))] == ["a", "b"]


def test_gold_calls_and_outputs_are_counted_in_a_failed_episode_too():
    task = task_of(("get", {"id": 1}), ("get", {"id": 2}), ("put", {"id": 1}), outputs=("1093.34", "77"))
    messages = (
        {"role": "assistant", "content": '<tool_call>{"name": "get", "arguments": {"id": 2}}</tool_call>'},
        {"role": "assistant", "content": '<tool_call>{"name": "get", "arguments": {"id": 2}}</tool_call>'},
        {"role": "assistant", "content": "That is $1,093.34."},
    )
    found = facts_of(Episode(0, plain_trajectory(messages=messages)), task)
    assert (found.gold_calls, found.facts_told) == ((1, 3), (1, 2))


def test_every_pass_k_is_over_the_same_tasks_and_what_is_lost_is_counted():
    facts = [fact(1, 0, True), fact(1, 1, True), fact(2, 0, False)]
    lost = Facts("tau2/2", 1, 0, False, False, "user_error", ("customer",), error="no answer")
    found = figures_of([*facts, lost])
    assert found["pass^1"]["value"] == 0.5
    assert "pass^2" not in found
    assert found["undefined"] == {"2": "undefined: tau2/2 has only 1 scored trial"}
    assert (found["episodes"]["unscorable"], found["episodes"]["first_error"]) == (1, "no answer")
    assert found["failures"] == {"limit": 1, "customer": 1}


@pytest.mark.parametrize(("error", "who"), [("no answer", "customer"), ("nl_judge: no answer", "judge")])
def test_the_screen_says_who_failed_and_why(error, who):
    lost = facts_of(Episode(1, plain_trajectory(scorable=False, stop_reason="user_error", customer_error=error)), None)
    assert lost.failures == (who,)
    text = as_text(figures_of([fact(1, 0, True), lost]))
    assert f"1 unscorable, the first because the {who} failed every time:\n  no answer\n" in text


def test_episodes_whose_customer_fell_out_of_its_part_are_counted():
    flipped = fact(1, 0, False, customer_role_flips=3.0, customer_loops=0.0)
    both = fact(1, 1, False, customer_role_flips=1.0, customer_loops=2.0)
    found = figures_of([flipped, both, fact(2, 0, True, customer_role_flips=0.0, customer_loops=0.0)])
    assert found["customer_slips"] == 2
    assert "in 2 of 3 scored episodes the customer spoke as the agent, or went in circles" in as_text(found)
    scripted = figures_of([fact(1, 0, True)])
    assert scripted["customer_slips"] is None
    assert "spoke as the agent" not in as_text(scripted)
    assert "spoke as the agent" not in as_text(figures_of([fact(1, 0, True, customer_loops=0.0)]))
    older = {name: value for name, value in found.items() if name != "customer_slips"}
    assert "spoke as the agent" not in as_text(older)


def test_episodes_in_which_a_limit_cut_off_a_message_are_counted():
    found = figures_of([fact(1, 0, False, cut_turns=2.0), fact(1, 1, True, cut_turns=0.0)])
    assert found["cut_messages"] == 1
    assert "in 1 of 2 scored episodes a limit cut off a message of the agent" in as_text(found)
    for others in ([fact(1, 0, True)], [fact(1, 0, True, cut_turns=0.0)]):
        assert "cut off" not in as_text(figures_of(others))
    assert figures_of([fact(1, 0, True)])["cut_messages"] is None
    older = {name: value for name, value in found.items() if name != "cut_messages"}
    assert "cut off" not in as_text(older)


def test_a_partial_evaluation_says_so():
    found = figures_of([fact(1, 0, True)], more_tasks={"tau2/7": ""})
    assert found["episodes"] == {
        "asked": 4,
        "scored": 1,
        "unscorable": 0,
        "first_error": None,
        "not_played": 3,
        "tasks_without_a_score": 1,
    }
    words = as_text(found)
    assert "PARTIAL: 3 not played" in words
    assert "1 task without a scored episode is in no figure" in words


def test_nothing_scored_is_no_figure():
    found = figures_of([Facts("tau2/2", 0, 0, False, False, "user_error", ("customer",))], trials=1)
    assert found["undefined"] == {"1": "undefined: no episode was scored"}
    assert "undefined: no episode was scored" in as_text(found)


def test_costs_are_told_where_every_paid_episode_tells_them_and_failed_tries_are_paid():
    priced = fact(1, 0, True, agent_calls=2.0, agent_cost_usd=0.5)
    assert figures_of([priced], spent=[priced])["cost_usd"] == {"agent": 1.0}
    assert figures_of([priced, fact(2, 0, True, agent_calls=1.0)])["cost_usd"] == {}


def test_corrected_and_process_are_numbers_of_their_own():
    told = Facts("tau2/1", 0, 0, True, False, "user_stop", ("other",), corrected=1.0, process=0.0)
    found = figures_of([told], trials=1)
    assert {name: one["value"] for name, one in found["rewards"].items()} == {
        "official": 0.0,
        "corrected": 1.0,
        "process": 0.0,
    }
    assert figures_of([fact(1, 0, True)], trials=1)["rewards"].keys() == {"official"}


def test_an_episode_that_a_limit_ended_counts_as_lost_in_the_corrected_reward_too():
    cut = plain_trajectory(stop_reason="length", terminated=False, truncated=True)
    judged = plain_trajectory(reward=1.0, reward_breakdown={"official": 1.0, "corrected": 1.0})
    facts = [facts_of(Episode(trial, one), None) for trial, one in enumerate([cut, judged])]
    assert [one.corrected for one in facts] == [0.0, 1.0]
    assert (
        figures_of(facts)["rewards"]["corrected"]["value"] == figures_of(facts)["rewards"]["official"]["value"] == 0.5
    )
    assert facts_of(Episode(0, plain_trajectory()), None).corrected is None


@pytest.mark.parametrize("make", [SilentAgent, ParrotAgent])
def test_the_floor_is_what_agents_that_do_nothing_earn(tmp_path, make):
    tasks = [task for task in load_tasks("tau2", "base") if task.id in ("tau2/12", "tau2/65", "tau2/24", "tau2/5")]
    standing = evaluate(tmp_path / "e", tasks, make_agent=lambda task, seed: make(), trials=1, split="base")
    assert floor(tasks) == sum(one.success for one in standing.episodes) / len(tasks) == 0.5


def test_the_floor_of_the_test_split_is_two_of_forty():
    assert floor(load_tasks("tau2", "test")) == 2 / 40
    assert floor([]) is None


def test_the_floor_is_that_of_the_tasks_that_were_scored():
    tasks = {task.id: task for task in load_tasks("tau2", "base")}
    assert floor([tasks["tau2/12"]]) == 1.0 and floor([tasks["tau2/24"]]) == 0.0
    assert figures_of([fact(12, 0, True)], tasks=list(tasks.values()))["floor"] == 1.0
    assert figures_of([fact(24, 0, False)], tasks=list(tasks.values()))["floor"] == 0.0


def test_agents_fail_for_their_own_reasons(tmp_path):
    makers = {"silent": SilentAgent, "eager": EagerAgent, "quitter": QuitterAgent}
    found = {}
    for name, make in makers.items():
        standing = evaluate(tmp_path / name, make_agent=lambda task, seed, make=make: make(), trials=1)
        found[name] = figures(standing.settings, standing.episodes, (), TASKS)["failures"]
    assert found["silent"]["missing write"] == len(TASKS)
    assert found["eager"]["extra write"] == len(TASKS)
    assert found["quitter"]["transfer"] == len(TASKS)


def test_a_whole_report_of_a_played_evaluation(tmp_path):
    def make(task, seed):
        return OracleAgent(task) if seed == 0 else BoastingAgent(task)

    standing = evaluate(tmp_path / "e", make_agent=make, trials=2)
    found = figures(standing.settings, standing.episodes, standing.spent, TASKS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["pass^1"]["value"], found["pass^2"]["value"], found["pass@2"]["value"]) == (0.5, 0.0, 1.0)
    assert found["by_subset"]["all"]["pass^1"]["value"] == 0.5
    assert sum(row["pass^1"]["tasks"] for row in found["by_gold_actions"].values()) == len(TASKS)
    assert 0.5 < found["tool_accuracy"]["gold_calls_made"] < 1
    words = as_text(found)
    for expected in ("pass^1   50.0", "pass^2    0.0", "pass@2  100.0", "floor", "tool accuracy", "missing write"):
        assert expected in words


def test_progress_tells_the_running_rate_and_what_was_paid():
    facts = [fact(1, 0, True, agent_cost_usd=0.5), fact(2, 0, False, customer_cost_usd=0.25)]
    assert words_of(facts) == "pass^1 50.0 [0.0, 100.0] $0.75"
    assert words_of([]) == "no episode scored yet"


def test_power_in_words():
    words = power_text(114)
    assert "a difference of  5 points: 7 trials a task" in words
    assert "a difference of 10 points: 2 trials a task" in words


def test_results_of_before_the_shown_interval_show_the_same_one():
    facts = [fact(number, trial, number < 2 and trial < 2 - number) for number in range(20) for trial in range(2)]
    found = figures_of(facts)
    older = json.loads(json.dumps(found))
    for name in ("pass^1", "pass^2", "pass@2"):
        shown = interval_of(older[name])
        assert (shown.low, shown.high) == tuple(older[name].pop("interval"))
        again = interval_of(older[name])
        assert (again.low, again.high) == (pytest.approx(shown.low), pytest.approx(shown.high))
    assert as_text(older).splitlines()[3:6] == as_text(found).splitlines()[3:6]


def test_of_a_thousand_trials_the_first_figures_are_shown():
    facts = [fact("tau2/1", trial, trial % 2 == 0) for trial in range(30)]
    shown = as_text(figures_of(facts, trials=1000)).splitlines()
    assert [line.split()[0] for line in shown if line.startswith("  pass^")][:13] == [
        *(f"pass^{k}" for k in range(1, 13)),
        "pass^31,",
    ]
    assert "  … and 18 more: results.json has them" in shown
    assert "  … and 958 more: results.json has them" in shown
    assert len(shown) < 60
