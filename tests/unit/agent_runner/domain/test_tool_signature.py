"""A tool's server can verify a call as Standard Webhooks prescribe."""

import base64
import hashlib
import hmac

import pytest

from agent_runner.domain.tool_signature import secret_bytes, signed

KEY = b"0123456789abcdef01234567"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def test_the_signature_is_of_id_time_and_body() -> None:
    headers = signed((SECRET,), "session_1:k", 1_731_705_121, '{"day":"Friday"}')
    version, _, signature = headers["webhook-signature"].partition(",")
    content = b'session_1:k.1731705121.{"day":"Friday"}'
    assert version == "v1"
    assert base64.b64decode(signature) == hmac.new(KEY, content, hashlib.sha256).digest()
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("session_1:k", "1731705121")


def test_the_signature_of_the_specifications_example() -> None:
    headers = signed(
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        '{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_signatures_so_that_a_secret_can_be_changed() -> None:
    other = f"whsec_{base64.b64encode(KEY[::-1]).decode()}"
    assert len(signed((SECRET, other), "a", 1, "")["webhook-signature"].split(" ")) == 2
    assert signed((), "a", 1, "") == {}


@pytest.mark.parametrize(
    "secret", ["", "plain", "whsec_", "whsec_???", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_")]
)
def test_a_secret_of_another_form_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        secret_bytes(secret)
