import ast
import re
from pathlib import Path

import pytest

from contracts import errors
from contracts.errors import PROBLEMS, ProblemType, Refused


def test_every_problem_is_listed_once_under_its_own_code() -> None:
    defined = [value for value in vars(errors).values() if isinstance(value, ProblemType)]

    assert len({problem.code for problem in defined}) == len(defined)
    assert {problem.code: problem for problem in defined} == PROBLEMS


def test_no_other_module_defines_a_problem() -> None:
    defined = {
        (path.name, call.args[0].value)
        for path in Path(__file__).parents[3].glob("*/**/src/**/*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ProblemType"
        if isinstance(call.args[0], ast.Constant)
    }

    assert len(defined) >= len(PROBLEMS)
    assert {path for path, _ in defined} == {"errors.py"}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=lambda p: p.code)
def test_every_problem_can_be_branched_on_and_says_what_to_do(problem: ProblemType) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem.code)
    assert 400 <= problem.status <= 599
    assert problem.title
    assert not problem.title.endswith(".")
    assert problem.fix.endswith(".")


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=lambda p: p.code)
def test_what_is_the_requests_own_fault_is_not_retryable(problem: ProblemType) -> None:
    if problem.status in (400, 401, 402, 409, 413, 422):
        assert not problem.retryable
    if problem.status in (503, 504):
        assert problem.retryable


def test_a_refusal_carries_its_problem_and_its_cause() -> None:
    refused = Refused(errors.NO_CAPACITY, "3 nodes, all full", retry_after_s=5)

    assert str(refused) == "no_capacity: 3 nodes, all full"
    assert (refused.problem, refused.retry_after_s) == (errors.NO_CAPACITY, 5)
