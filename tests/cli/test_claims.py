"""``steadynorm claims``, and ``steadynorm reproduce`` with claims."""

import json
from pathlib import Path

import pytest

from steadynorm.cli import main
from steadynorm.lab.catalogue import WAITING, every_claim

IDS = list(every_claim())

VERDICTS = {"confirmed", "partly", "refuted", "not resolved", None}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    out = capsys.readouterr().out
    assert all(id in out for id in IDS)
    assert all(f"Waits ({part})" in out for part in WAITING)


def test_some_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "saturation/drift", "scale"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "/" in line.split(" ")[0]] == [
        id for id in IDS if id == "saturation/drift" or id.startswith("scale/")
    ]
    assert main(["claims", "nothing/such"]) == 2
    assert "`steadynorm claims` lists" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--json"]) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [claim["id"] for claim in claims] == IDS
    assert {"id", "statement", "source", "literature", "measured", "verdict"} <= set(claims[0])
    assert {claim["verdict"] for claim in claims} <= VERDICTS


def test_what_was_never_run_has_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("steadynorm.lab.catalogue.committed_records", dict)
    assert main(["claims", "--json"]) == 0
    assert {claim["verdict"] for claim in json.loads(capsys.readouterr().out)["claims"]} == {None}
    assert main(["claims"]) == 0
    assert "never run" in capsys.readouterr().out


def test_reproduce_claims_prints_verdicts_and_writes_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "saturation/slopes", "network/parameters", "--preset", "smoke", "--threads", "1"]
    assert main([*words, "-o", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "saturation/slopes" in out
    assert "refuted" in out
    (run,) = Path("runs/claims").iterdir()
    page = Path("page.html").read_text()
    assert page == (run / "report.html").read_text()
    assert "13.6 million" in page

    assert main([*words, "--resume", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [record["verdict"] for record in json.loads(out)["records"]] == ["confirmed", "refuted"]
    assert "going on with" in err
    assert len(list(Path("runs/claims").iterdir())) == 1
    assert main(["report", str(run)]) == 0


def test_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "saturation", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["minutes"] > 0
    assert len(planned["claims"]) == 3
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["reproduce", "nothing/such"], "steadynorm claims"),
        (["reproduce", "--all", "saturation"], "leave one out"),
        (["reproduce", "saturation", "--seeds", "3"], "the ladder's"),
        (["reproduce", "saturation", "--threads", "0"], "threads must be at least 1"),
    ],
)
def test_wrong_use(words: list[str], names: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert names in capsys.readouterr().err
    assert not Path("runs").exists()


def test_nothing_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "saturation", "--resume"]) == 3
    assert "begin one without" in capsys.readouterr().err
