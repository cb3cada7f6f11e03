"""The page in a real browser: it opens, filters, searches, asks for nothing, and nothing that a run holds runs."""

import dataclasses
import json
import os
import re
import shutil

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.evaluation.page import live
from tau_retail_env.evaluation.page.document import write_page
from tau_retail_env.evaluation.page.live import LiveServer
from tau_retail_env.evaluation.page.report import Report
from tau_retail_env.models.shipped import small_checkpoint
from tau_retail_env.runs.trajectories import as_line, write_trajectories
from tests.evaluation.evaluations import TASKS, evaluate
from tests.plain_trajectory import plain_trajectory

pytestmark = pytest.mark.slow

DESK, TABLET, PHONE = (1280, 800), (820, 1100), (390, 780)
HOSTILE = (
    "</script><script>hacked = 1</script><img src=x onerror='hacked = 1'><svg onload='hacked = 1'>"
    '"><style>*{display:none}</style><a href="javascript:hacked=1">&lt;b&gt;\u202etxet\x1b[2J${hacked = 1}'
)
ROWS = ".row"


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, driven by playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium: apt install chromium")
    with api.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Opens a page; at the end it must have said, asked and broken nothing."""
    contexts, heard = [], []

    def open_page(address, *, size=DESK, scheme="light", fragment=""):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: heard.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: heard.append(request.url) if not request.url.startswith(address) else None)
        page.goto(f"{address}{fragment}")
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert heard == []


def summary_is(page, pattern):
    """Wait until the list says so; what a script would look at is refused by the page's rules."""
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.locator(".summary")).to_have_text(re.compile(f"^{pattern}"), timeout=30_000)


def page_file(folder, *names, **options):
    report = Report([str(name) for name in names], **options)
    report.read_on()
    write_page(folder / "report.html", report)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """The address of a page of two evaluations, of which the second solves everything."""
    folder = tmp_path_factory.mktemp("runs")
    evaluate(folder / "silent")
    evaluate(folder / "oracle", make_agent=lambda task, seed: OracleAgent(task), agent="oracle")
    return page_file(folder, folder / "silent", folder / "oracle")


def test_it_opens_with_the_figures_of_every_run(opened, two_runs):
    page = opened(two_runs)
    shown = page.inner_text("main")
    assert "All runs" in shown
    assert page.locator("section.card").count() == 3
    assert "missing write" in shown
    assert "100.0 [50.7, 100.0]" in shown


def test_a_failure_in_the_figures_lists_its_episodes(opened, two_runs):
    page = opened(two_runs)
    page.click("text=missing write")
    page.wait_for_selector(ROWS)
    assert page.inner_text(".summary") == "8 of 16 episodes, 0.0 % solved"
    assert page.locator(ROWS).count() == 8


def test_filters_narrow_the_list_together_and_are_lifted_at_once(opened, two_runs):
    page = opened(two_runs, fragment="#episodes")
    page.select_option("label:has-text('Outcome') select", "success")
    summary_is(page, "8 of 16")
    page.select_option("label:has-text('Run') select", "0")
    summary_is(page, "0 of 16")
    page.click("text=show all")
    summary_is(page, "16 episodes")


def test_a_search_reads_every_conversation_and_marks_what_it_finds(opened, two_runs):
    page = opened(two_runs, fragment="#episodes?run=1")
    page.keyboard.press("/")
    page.keyboard.type("exchange_delivered_order_items(")
    summary_is(page, "0 of")
    page.fill("#search", "EXCHANGE_delivered")
    summary_is(page, "8 of 16")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.wait_for_selector(".chat mark")
    assert page.inner_text(".chat mark >> nth=0") == "exchange_delivered"


def test_a_conversation_has_its_calls_folded_and_its_changes_beside_gold(opened, two_runs):
    page = opened(two_runs, fragment="#episodes?run=0")
    page.keyboard.press("j")
    page.wait_for_selector(".episode")
    assert page.locator(".badge.failure").count() == 1
    assert "exchange requested" in page.inner_text(".changes >> nth=0")
    page.select_option("label:has-text('Run') select", "1")
    page.keyboard.press("j")
    call = page.locator("details.call").first
    call.wait_for()
    assert call.get_attribute("open") is None
    call.locator("summary").click()
    call.locator("pre").first.wait_for()


def test_the_address_opens_the_same_view_again(opened, two_runs):
    page = opened(two_runs, fragment="#episodes?outcome=success")
    page.keyboard.press("j")
    page.wait_for_selector(".episode")
    again = opened(two_runs, fragment=page.evaluate("location.hash"))
    again.wait_for_selector(".episode")
    assert again.inner_text(".episode h2") == page.inner_text(".episode h2")


def test_a_task_that_flipped_opens_both_conversations_side_by_side(opened, two_runs):
    page = opened(two_runs, fragment="#compare")
    page.click(f".flips >> text={TASKS[0].id}")
    page.wait_for_selector(".pair .episode >> nth=1")
    assert page.locator(".pair .badge").all_inner_texts() == ["failure", "success"]
    first, second = (page.locator(".pair .episode").nth(place).bounding_box() for place in (0, 1))
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]


def test_keys_alone_go_everywhere(opened, two_runs):
    page = opened(two_runs)
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.wait_for_selector(ROWS)
    for key, title in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        page.wait_for_selector(f"#row-{title}[aria-selected=true]")
    page.keyboard.press("b")
    page.wait_for_selector(".pair")
    page.keyboard.press("Escape")
    page.wait_for_selector(".detail >> text=Choose an episode")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_tokens_are_shown_on_demand_with_masks_and_probabilities(opened, tmp_path):
    ids = tuple(range(40, 60))
    own = (0,) * 10 + (1,) * 10
    one = plain_trajectory(token_ids=ids, response_mask=own, logprobs=(0.0,) * 10 + (-0.01,) * 9 + (-3.0,))
    write_trajectories(tmp_path / "file.jsonl", [one])
    page = opened(page_file(tmp_path, tmp_path / "file.jsonl", tokenizer=small_checkpoint()), fragment="#episodes")
    page.keyboard.press("j")
    page.wait_for_selector(".episode")
    assert page.locator(".tokens .token").count() == 0
    page.keyboard.press("t")
    page.wait_for_selector(".tokens .token")
    assert page.locator(".tokens .token.own").count() == 10
    page.hover(".tokens .token.p1")
    assert "log-probability -3 (5.0 %)" in page.inner_text("[data-part=tokens] .readout")


def hostile_run(folder):
    """A training run of which every text that may be shown is hostile."""
    (folder / "trajectories").mkdir(parents=True)
    call = {"id": HOSTILE, "function": {"name": HOSTILE, "arguments": HOSTILE}}
    messages = [
        {"role": "system", "content": HOSTILE},
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": HOSTILE, "tool_calls": [call]},
        {"role": "tool", "content": HOSTILE},
        {"role": "assistant", "content": f"<tool_call>{HOSTILE}"},
    ]
    one = plain_trajectory(
        task_id=f"{HOSTILE}/1",
        source=HOSTILE,
        split=HOSTILE,
        tag=HOSTILE,
        messages=messages,
        user_strategy=HOSTILE,
        task_version=HOSTILE,
        customer_error=HOSTILE,
        metrics={HOSTILE: 1.0},
        timings={HOSTILE: 1.0},
        customer_usage=({HOSTILE: 1.0},),
        token_ids=(1, 2),
        response_mask=(0, 1),
        logprobs=(0.0, -1.0),
    )
    others = [
        dataclasses.replace(one, sampling_seed=1, scorable=False),
        dataclasses.replace(one, sampling_seed=2, reward=1.0),
    ]
    write_trajectories(folder / "trajectories" / "val-000001.jsonl", [one, *others])
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, HOSTILE: 1.0}) + "\n")
    (folder / "config.yaml").write_text(HOSTILE)


def test_hostile_texts_are_shown_and_do_nothing(opened, tmp_path):
    folder = tmp_path / "<img src=x onerror=hacked=1>"
    hostile_run(folder)
    address = page_file(tmp_path, folder)
    for view in ("figures", "curves", "episodes"):
        page = opened(address, fragment=f"#{view}")
        if view == "episodes":
            page.keyboard.press("j")
            page.wait_for_selector(".chat")
            page.keyboard.press("e")
            page.keyboard.press("t")
            page.keyboard.press("b")
            page.wait_for_selector(".pair")
        page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
        if view == "curves":
            page.fill("input[type=search]", "script")
            page.wait_for_selector(".panel")
        assert "<script>hacked" in page.inner_text("main")
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.locator("main img, main a, main style, main script, svg[onload]").count() == 0
        assert not set("\u202e\x1b") & set(page.inner_text("main"))


def test_a_hostile_address_does_nothing(opened, two_runs):
    page = opened(two_runs, fragment="#episodes?q=<img src=x onerror=hacked=1>&open=<script>&outcome=__proto__&order=x")
    summary_is(page, "0 of 16")
    assert "is not on this page" in page.inner_text(".detail")
    assert page.evaluate("typeof hacked") == "undefined"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The address of a page of 5,000 conversations of twenty messages each."""
    folder = tmp_path_factory.mktemp("many")
    with (folder / "file.jsonl").open("w", encoding="utf-8") as file:
        for number in range(5000):
            words = " ".join(f"word{(number * 31 + place * 17) % 9973}" for place in range(40))
            roles = ("user", "assistant")
            messages = [{"role": roles[place % 2], "content": f"{place} {words}"} for place in range(20)]
            one = plain_trajectory(
                task_id=f"mine/{number // 4}",
                source="mine",
                messages=messages,
                reward=float(number % 3 == 0),
                metrics={"turns": float(number % 17)},
            )
            file.write(as_line(one, trial=number % 4) + "\n")
    return page_file(folder, folder / "file.jsonl")


def test_five_thousand_episodes_open_in_two_seconds_and_filter_at_once(opened, many):
    ready = []
    for _ in range(3):
        page = opened(many, fragment="#episodes")
        assert page.inner_text(".summary") == "5,000 episodes, 33.3 % solved"
        ready.append(page.evaluate("performance.getEntriesByName('ready')[0].startTime"))
    assert min(ready) < 2000
    assert page.locator(ROWS).count() < 60
    page.select_option("label:has-text('Outcome') select", "success")
    summary_is(page, "1,667 of 5,000")
    page.fill("#search", "word4242 ")
    summary_is(page, r"[1-9]\d* of 5,000 episodes, 100\.0")


def test_the_list_is_scrolled_to_its_end(opened, many):
    page = opened(many, fragment="#episodes")
    page.evaluate("document.querySelector('.list').scrollTop = 1e9")
    page.wait_for_selector("#row-4999")


@pytest.mark.parametrize("size", [DESK, TABLET, PHONE], ids=["desk", "tablet", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_is_wider_than_the_screen_and_each_scheme_has_its_colours(opened, two_runs, size, scheme):
    for view in ("figures", "episodes", "compare"):
        page = opened(two_runs, size=size, scheme=scheme, fragment=f"#{view}")
        if view == "episodes":
            page.keyboard.press("j")
            page.wait_for_selector(".episode")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        lightness = sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(", "))) / 3
        assert (lightness > 128) == (scheme == "light")


def test_on_a_phone_an_episode_takes_the_place_of_the_list(opened, two_runs):
    page = opened(two_runs, size=PHONE, fragment="#episodes")
    page.click("#row-0")
    page.wait_for_selector(".episode")
    assert not page.is_visible(".list")
    page.click("text=← list")
    page.wait_for_selector(".list", state="visible")


def test_a_run_in_progress_is_renewed_and_what_is_open_stays(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "REFRESH_S", 0.05)
    record = tmp_path / "file.jsonl"
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "think", "arguments": "{}"}}]}
    ]
    lines = [as_line(plain_trajectory(task_id=f"tau2/{number}", messages=messages)) + "\n" for number in range(2)]
    record.write_text(lines[0])
    report = Report([str(record)])
    report.read_on()
    with LiveServer(report) as server:
        page = opened(f"http://{server.address}/", fragment="#episodes")
        page.keyboard.press("j")
        page.wait_for_selector(".call")
        page.keyboard.press("e")
        page.wait_for_selector(".call[open]")
        with record.open("a") as file:
            file.write(lines[1])
        page.wait_for_selector("#row-1", timeout=60_000)
        assert page.locator(".call[open]").count() == 1
