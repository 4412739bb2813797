"""What `make conformance` makes of the suite's results."""

import pytest

from tests.system.conformance.autobahn import print_report

OK = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000}


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({}, 0),
        ({"behavior": "NON-STRICT"}, 0),
        ({"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}, 0),
        ({"behavior": "FAILED"}, 1),
        ({"behavior": "UNIMPLEMENTED"}, 1),
        ({"behaviorClose": "WRONG CODE", "remoteCloseCode": 1006}, 1),
    ],
)
def test_a_failed_case_fails_the_run(result, status):
    assert print_report({"1.1.1": OK, "7.1.5": OK | result}) == status


def test_a_run_without_cases_fails():
    assert print_report({}) == 1


def test_a_failed_case_is_named(capsys):
    print_report({"7.1.5": OK | {"behaviorClose": "WRONG CODE"}})
    assert "7.1.5: OK, close WRONG CODE, code 1000" in capsys.readouterr().out
