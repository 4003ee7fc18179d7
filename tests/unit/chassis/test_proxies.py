"""What NO_PROXY covers, and which proxies are left out."""

import pytest

from chassis.proxies import is_exempt, take_out_socks


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("wss://livekit.example.com", "livekit.example.com"),
        ("wss://livekit.example.com", "example.com"),
        ("wss://livekit.example.com", ".example.com"),
        ("wss://livekit.example.com", "*.example.com"),
        ("wss://LiveKit.Example.com", "other, livekit.example.COM"),
        ("wss://livekit.example.com", "*"),
        ("wss://livekit.example.com", "livekit.example.com:443"),
        ("ws://livekit:7880", "livekit:7880"),
        ("ws://10.1.2.3:7880", "10.0.0.0/8"),
        ("ws://10.1.2.3:7880", "10.1.2.3"),
        ("ws://10.1.2.3:7880", "10.1.2.3:7880"),
        ("ws://[fd00::1]:7880", "fd00::/8"),
        ("ws://[fd00::1]:7880", "[fd00::1]:7880"),
    ],
)
def test_an_entry_of_no_proxy_covers_the_address(url: str, no_proxy: str) -> None:
    assert is_exempt(url, {"NO_PROXY": no_proxy})
    assert is_exempt(url, {"no_proxy": no_proxy, "NO_PROXY": "elsewhere"})


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("wss://livekit.example.com", ""),
        ("wss://livekit.example.com", "kit.example.com"),
        ("wss://livekit.example.com", "livekit.example.com:7880"),
        ("wss://livekit.example.com", ","),
        ("ws://10.1.2.3:7880", "10.2.0.0/16"),
        ("ws://10.1.2.3:7880", "1.2.3"),
        ("ws://127.0.0.1:7880", "localhost"),
    ],
)
def test_other_addresses_are_not_covered(url: str, no_proxy: str) -> None:
    assert not is_exempt(url, {"NO_PROXY": no_proxy})


def test_socks_proxies_are_left_out_and_others_stay() -> None:
    environment = {
        "ALL_PROXY": "socks5://user:secret@proxy:1080",
        "https_proxy": "SOCKS5H://proxy:1080",
        "HTTP_PROXY": "http://proxy:3128",
        "NO_PROXY": "socks.example.com",
        "SOCKS_SERVER": "socks5://kept",
    }

    assert take_out_socks(environment) == ["ALL_PROXY", "https_proxy"]

    assert set(environment) == {"HTTP_PROXY", "NO_PROXY", "SOCKS_SERVER"}
