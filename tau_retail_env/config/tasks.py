"""Whether the tasks that a configuration names are there; both engines ask before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tau_retail_env.config.environments import CustomEnv
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources import SOURCES
from tau_retail_env.sources.load import check_selection
from tau_retail_env.tasks.subsets import matching


def check_tasks(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> list[str]:
    """What is wrong with the tasks of the tags that are played, each problem once.

    A run plays one version of a source's tasks.

    Whether a subset has tasks is looked up where their source is installed; elsewhere only names are looked at.

    Args:
        envs: environments by tag.
        tags: the tags that are played; one that is not among the environments is reported elsewhere.
    """
    found: dict[str, list[str]] = {}
    for tag in dict.fromkeys(tags):
        if tag in envs and (problem := _problem(envs[tag])):
            found.setdefault(problem, []).append(f"custom_envs.{tag}.env_config")
    problems = [f"{', '.join(paths)}: {problem}" for problem, paths in found.items()]
    return problems or _mixed_versions([(tag, envs[tag]) for tag in dict.fromkeys(tags) if tag in envs])


def unread_source(task_source: str, envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> list[str]:
    """That no tag which is played has the source that the top of the configuration names.

    Args:
        task_source: as the configuration says it.
        envs: environments by tag.
        tags: the tags that are played.
    """
    sources = {tag: envs[tag].env_config.source for tag in tags if tag in envs}
    if not sources or task_source in sources.values():
        return []
    said = ", ".join(f"{tag}: {source}" for tag, source in sources.items())
    return [
        f"task_source: found {task_source}, which no tag that is played has ({said}): set "
        f"custom_envs.TAG.env_config.source, play other tags, or say task_source={next(iter(sources.values()))}"
    ]


def _mixed_versions(played: Iterable[tuple[str, CustomEnv]]) -> list[str]:
    """The sources of which a run would play two task versions."""
    problems: list[str] = []
    seen: dict[str, tuple[str, str]] = {}
    for tag, env in played:
        settings = env.env_config
        default = next(iter(SOURCES[settings.source].versions), "its only version")
        version = default if settings.task_version is None else str(settings.task_version)
        first, before = seen.setdefault(settings.source, (tag, version))
        if before != version:
            problems.append(
                f"custom_envs.{tag}.env_config.task_version: found {version} of {settings.source}, but {first} plays "
                f"{before}; results of two versions cannot be compared, set task_version at the top"
            )
    return problems


def _problem(env: CustomEnv) -> str | None:
    settings = env.env_config
    try:
        matching((), settings.task_subset)
        chosen = (settings.source, settings.split, settings.task_subset, settings.task_version)
        check_selection(*chosen, exclude_tasks=settings.exclude_tasks, task_file=settings.task_file)
    except MissingDependencyError:
        return None
    except InvalidValueError as error:
        return str(error)
    return None
