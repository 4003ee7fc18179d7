import pytest

from sandbox.faults import MOST_FAULTS, Fault, FaultBoard, TooManyFaults
from sandbox.script import Reply, Script, ScriptFull

ANY: dict[str, str] = {}


def test_a_fault_strikes_as_often_as_its_count() -> None:
    board, fault = FaultBoard(), Fault(service="groq", kind="drop", count=2)
    board.add(fault)

    assert [board.take("groq", "answer", ANY) for _ in range(3)] == [[fault], [fault], []]


def test_a_fault_without_a_count_strikes_until_it_is_removed() -> None:
    board, fault = FaultBoard(), Fault(service="groq", kind="drop")
    number = board.add(fault)

    assert all(board.take("groq", "answer", ANY) == [fault] for _ in range(5))
    assert board.remove(number)
    assert board.take("groq", "answer", ANY) == []


def test_a_fault_strikes_only_what_it_is_about() -> None:
    board = FaultBoard()
    board.add(Fault(service="groq", kind="status", match={"model": "a"}))

    assert board.take("groq", "answer", {"model": "a"}) == []
    assert board.take("inworld", "request", {"model": "a"}) == []
    assert board.take("groq", "request", {"model": "b"}) == []
    assert board.take("groq", "request", {"model": "a"})


def test_latencies_come_first_and_only_one_other_strikes() -> None:
    board = FaultBoard()
    for kind in ("drop", "latency", "garbage", "latency"):
        board.add(Fault.model_validate({"service": "groq", "kind": kind, "count": 1}))

    assert [fault.kind for fault in board.take("groq", "answer", ANY)] == ["latency", "latency", "drop"]
    assert [fault.kind for fault in board.take("groq", "answer", ANY)] == ["garbage"]


def test_a_fault_may_be_moved_to_the_request() -> None:
    board = FaultBoard()
    board.add(Fault(service="assemblyai", kind="close", stage="request"))

    assert board.take("assemblyai", "answer", ANY) == []
    assert board.take("assemblyai", "request", ANY)


def test_the_board_has_a_bound() -> None:
    board, fault = FaultBoard(), Fault(service="groq", kind="drop")
    for _ in range(MOST_FAULTS):
        board.add(fault)

    with pytest.raises(TooManyFaults):
        board.add(fault)


def test_the_script_is_followed_in_order_and_ends() -> None:
    script = Script()
    script.hear(["one", "two"])
    script.answer([Reply(text="three")])

    assert [script.next_transcript() for _ in range(3)] == ["one", "two", None]
    assert script.next_reply() == Reply(text="three")
    assert script.next_reply() is None


def test_the_script_has_a_bound() -> None:
    script = Script()

    with pytest.raises(ScriptFull):
        script.hear(["word"] * 201)
    assert script.next_transcript() is None
