"""What JUnit XML of several runs says of each test: the last of every case."""

from pathlib import Path

from tests.runs import describe, read_results

JUNIT = """\
<testsuites><testsuite timestamp="2026-11-21T16:30:00.5+00:00">
<testcase classname="tests.a.test_x" name="test_one[1]"/>
<testcase classname="tests.a.test_x" name="test_one[2.b]"><failure/></testcase>
<testcase classname="tests.a.test_x.TestThree" name="test_inner"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_results_are_read_by_file_and_function(tmp_path: Path) -> None:
    file = tmp_path / "run.xml"
    file.write_text(JUNIT)
    assert read_results([file]) == {
        ("tests/a/test_x.py", "test_one"): {"passed", "failed"},
        ("tests/a/test_x.py", "TestThree"): {"skipped"},
    }


AGAIN = """\
<testsuites><testsuite timestamp="2026-11-21T18:40:00+02:00">
<testcase classname="tests.a.test_x" name="test_one[2.b]"/>
<testcase classname="tests.a.test_x.TestThree" name="test_other"/>
</testsuite></testsuites>
"""


def test_of_several_runs_the_last_counts_case_by_case(tmp_path: Path) -> None:
    files = [tmp_path / "again.xml", tmp_path / "run.xml"]
    for file, text in zip(files, (AGAIN, JUNIT), strict=True):
        file.write_text(text)
    assert read_results(files) == {
        ("tests/a/test_x.py", "test_one"): {"passed"},
        ("tests/a/test_x.py", "TestThree"): {"skipped", "passed"},
    }
    assert describe(files).startswith(
        "Results: runs begun 2026-11-21 16:30 to 2026-11-21 16:40 UTC, 2 test functions; made at commit "
    )
