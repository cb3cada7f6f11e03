"""The page as a file: whole, self-contained, guarded by its own rules; a sample where it would be too large."""

import base64
import hashlib
import json
import re
import zlib
from importlib import resources

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.page.document import MODULES, document, program_text, spaced, write_page
from tau_retail_env.evaluation.page.report import Report
from tau_retail_env.runs.trajectories import write_trajectories
from tests.plain_trajectory import plain_trajectory

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture
def report(tmp_path):
    messages = [{"role": "user", "content": HOSTILE}]
    one = [plain_trajectory(task_id=f"tau2/{number}", messages=messages) for number in range(20)]
    write_trajectories(tmp_path / "file.jsonl", one)
    report = Report([str(tmp_path / "file.jsonl")])
    report.read_on()
    return report


def block(page, name):
    (packed,) = re.findall(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page)
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_a_page_holds_its_data_and_loads_nothing(report, tmp_path):
    written = write_page(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (written.episodes, written.shown, written.bytes) == (20, 20, len(page.encode()))
    assert len(block(page, "index")["rows"]) == 20
    assert block(page, "conversations-0")[0]["messages"][0]["text"] == HOSTILE
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_nothing_that_a_run_holds_is_markup(report, tmp_path):
    write_page(tmp_path / "report.html", report)
    assert "alert(" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_rules_of_the_page_name_the_digests_of_its_program_and_style():
    page = "".join(document())
    (rules,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    style, program = re.search(
        r"<style>(.*?)</style>.*<script type=\"module\">(.*?)</script>", page, re.DOTALL
    ).groups()
    for kind, text in (("style", style), ("script", program)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in rules
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules


def test_every_module_is_in_the_program_after_those_that_it_imports():
    folder = resources.files("tau_retail_env.evaluation.page") / "static"
    texts = {name: (folder / f"{name}.js").read_text(encoding="utf-8") for name in MODULES}
    assert {path.name for path in folder.iterdir() if path.name.endswith(".js")} == {f"{name}.js" for name in MODULES}
    for place, name in enumerate(MODULES):
        imported = set(re.findall(r'^import .* from "\./(\w+)\.js";$', texts[name], re.MULTILINE))
        assert imported <= set(MODULES[:place]), name
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", program_text(), re.MULTILINE)
    assert len(names) == len(set(names))


def test_no_module_makes_markup_of_a_text():
    makers = "innerHTML outerHTML insertAdjacentHTML document.write eval( Function( setHTML srcdoc ContextualFragment"
    assert [maker for maker in makers.split() if maker in program_text()] == []


def test_a_page_that_would_be_too_large_holds_a_sample_and_figures_over_all(report, tmp_path):
    whole = report.stores.conversations.size * 4 / 3
    written = write_page(tmp_path / "report.html", report, most_bytes=int(whole / 4) + 1)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    told = block(page, "index")
    assert (written.episodes, written.shown) == (20, len(told["rows"])) == (told["episodes"], 5)
    assert told["runs"][0]["figures"]["tasks"] == 20
    shown = [block(page, f"conversations-{row['at'][0]}")[row["at"][1]] for row in told["rows"]]
    assert len(shown) == written.shown


def test_a_sample_is_spread_over_all():
    assert spaced(list(range(100)), 4) == [0, 25, 50, 75]
    assert spaced([1, 2], 0) == [1]
    assert spaced([], 3) == []


def test_a_report_is_replaced_and_nothing_else(report, tmp_path):
    target = tmp_path / "report.html"
    write_page(target, report)
    write_page(target, report)
    target.write_text("<html>mine</html>")
    with pytest.raises(InvalidValueError, match="is no report"):
        write_page(target, report)
    assert target.read_text() == "<html>mine</html>"


def test_a_folder_that_is_missing_is_named(report, tmp_path):
    with pytest.raises(InvalidValueError, match="in a folder that is there"):
        write_page(tmp_path / "none" / "report.html", report)
