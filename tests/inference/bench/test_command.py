"""The command as a whole, on a model of two layers."""

import json

import pytest

from inference.bench.__main__ import build_setting, main, parse_arguments


@pytest.mark.faults  # takes long: fifteen seconds of computing
def test_measures_everything_in_one_run(tmp_path, capsys):
    report = tmp_path / "report.json"
    options = ["--quick", "--shape", "tiny", "--threads", "1", "--json", str(report)]
    engine = ["--options", '{"num_cells": 8192}']
    main(["all", *options, *engine, "--folder", str(tmp_path)])
    whole = json.loads(report.read_text())
    measured = {(one["workload"], one["contestant"]) for one in whole["records"]}
    names = ("engine", "bare", "bare, our settings", "lock")
    assert {(kind, name) for name in names for kind in TRAFFIC} <= measured
    assert "| measure | must | aim | measured | reached |" in capsys.readouterr().out
    prompt_tokens = {
        one["prompt_tokens"]
        for one in whole["records"]
        if one["workload"] == "support cold" and one["contestant"] != "lock"
    }
    assert len(prompt_tokens) == 1
    values = {one["measure"]: one["value"] for one in whole["targets"]}
    assert values["cells of 16 conversations against 16 copies"] < 0.6
    assert [
        one["tokens"] for one in whole["records"] if one["workload"] == "churn"
    ] == [6 * 2 * 48] * 4


TRAFFIC = ("support cold", "support steady", "churn")


def test_asks_quickly_without_a_workload(capsys):
    main(["--parallel", "2", "--each", "1", "--max-tokens", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["on", "off"]


def test_an_unknown_workload_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["speed"])
    assert "no such workload: speed" in capsys.readouterr().err


def test_options_of_the_engine_come_before_ours(tmp_path):
    asked = parse_arguments(["all", "--threads", "3", "--options", '{"num_cells": 99}'])
    setting = build_setting(asked, tmp_path)
    assert setting.engine.num_cells == 99
    assert setting.engine.num_threads == setting.num_threads == 3
