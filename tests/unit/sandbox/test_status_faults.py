"""What a `status` fault answers."""

import json

from sandbox.faults import Fault
from sandbox.wire import status_response


def test_a_status_has_the_services_own_body_or_the_given_one() -> None:
    own = {"error": {"message": "Internal Server Error"}}
    other = {"error": {"message": "too long", "type": "exceed_context_size_error"}}
    fault = Fault(service="groq", kind="status", status=400)
    assert json.loads(bytes(status_response(fault, own).body)) == own
    assert json.loads(bytes(status_response(fault.model_copy(update={"body": other}), own).body)) == other
