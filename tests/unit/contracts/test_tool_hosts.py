"""Where a tool may be called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tool_hosts import AllowedHost, hosts, is_allowed, may_connect, parse_url


@pytest.mark.parametrize(
    ("url", "host", "port", "called"),
    [
        ("https://tools.example.org", "tools.example.org", 443, "https://tools.example.org/"),
        ("http://Tools.Example.org:8080/a?b=c", "tools.example.org", 8080, "http://tools.example.org:8080/a?b=c"),
        ("https://host?q", "host", 443, "https://host?q"),
        ("http://my_host/", "my_host", 80, "http://my_host/"),
        ("http://127.0.0.1/", "127.0.0.1", 80, "http://127.0.0.1/"),
        ("http://[::1]/x", "::1", 80, "http://[::1]/x"),
        ("http://[2001:DB8:0::1]:81/", "2001:db8::1", 81, "http://[2001:db8::1]:81/"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example/", "xn--bcher-kva.example", 443, "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "https://xn--bcher-kva.example/"),
        ("https://例え.jp:1/", "xn--r8jz45g.jp", 1, "https://xn--r8jz45g.jp:1/"),
    ],
)
def test_a_url_is_read_into_its_parts(url: str, host: str, port: int, called: str) -> None:
    address = parse_url(url)
    assert (address.host, address.port, address.url) == (host, port, called)


@pytest.mark.parametrize(
    "url",
    [
        "http://[/",
        "http://[::1/x",
        "http://[::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://℀.com/",
        "https://straße.de/",
        "https://h:99999/",
        "https://h:0/",
        "https://h:abc/",
        "https://h:/",
        "https://user@h/",
        "https://h#f",
        "https://h/#f",
        "https://h/a b",
        "https://h/a\x00b",
        "https://h\\@evil/",
        "https:///path",
        "ftp://h/",
        "https://-h/",
        "https://a..b/",
        "https://h./",
        "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 127 + "org/",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://256.1.1.1/",
        "https://h/" + "p" * 1_000,
        "",
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_url(url)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://[", "http://h:", "https://h/"]))
def test_any_text_is_read_or_refused_and_what_is_read_stays_the_same(text: str, start: str) -> None:
    try:
        address = parse_url(start + text)
    except ValueError:
        return
    assert parse_url(address.url) == address
    assert address.host.isascii()
    assert 1 <= address.port <= 65_535


@pytest.mark.parametrize(
    ("url", "listed", "expected"),
    [
        ("https://tools.example.org/look", "tools.example.org", True),
        ("https://TOOLS.example.org:8443/look", " other.org , Tools.Example.org ", True),
        ("https://tools.example.org.evil.net/look", "tools.example.org", False),
        ("https://evil.net/tools.example.org", "tools.example.org", False),
        ("http://127.0.0.1:80/", "", False),
        ("https://bücher.example/", "xn--bcher-kva.example", True),
        ("https://xn--bcher-kva.example/", "bücher.example", True),
        ("http://[::1]/", "::1", True),
        ("http://[0:0::1]:9/", "[::1]", True),
        ("https://h/", "h:443", True),
        ("https://h:8443/", "h:443", False),
        ("http://h:6379/", "https://h", False),
        ("https://h:6379/", "https://h", True),
        ("http://[::1]:80/", "http://[::1]:80", True),
    ],
)
def test_a_host_is_allowed_when_it_is_listed(url: str, listed: str, expected: bool) -> None:
    assert is_allowed(parse_url(url), hosts(listed)) is expected


@pytest.mark.parametrize("listed", ["ok.org,http://[/", "h:0", "h:70000", "a b", "user@h", "https://h/path", "127.1"])
def test_an_entry_of_the_list_that_is_no_host_is_refused_by_name(listed: str) -> None:
    with pytest.raises(ValueError, match=r"\[scheme://\]host|must be"):
        hosts(listed)


def test_an_entry_is_shown_as_it_may_be_written() -> None:
    listed = "https://h:8443,10.0.0.5,[::1],[::1]:80"
    assert ",".join(map(str, hosts(listed))) == listed
    assert hosts("::1") == (AllowedHost("::1"),)


@pytest.mark.parametrize(
    ("address", "listed", "expected"),
    [
        ("93.184.216.34", "", True),
        ("127.0.0.1", "", False),
        ("10.0.0.5", "tools.internal", False),
        ("10.0.0.5", "tools.internal,10.0.0.5", True),
        ("10.0.0.5", "10.0.0.5:443", True),
        ("10.0.0.5", "10.0.0.5:80", False),
        ("169.254.169.254", "", False),
        ("224.0.0.251", "", False),
        ("2606:4700::1111", "", True),
        ("::1", "", False),
        ("::1", "[::1]", True),
        ("fe80::1%eth0", "", False),
        ("fd00::1", "", False),
        ("fec0::1", "", False),
        ("fec0::1", "[fec0::1]", True),
        ("4000::1", "", False),
        ("ff0e::1", "", False),
        ("::ffff:10.0.0.5", "", False),
        ("::ffff:93.184.216.34", "", True),
        ("::10.0.0.5", "", False),
        ("64:ff9b::a00:1", "", False),
        ("64:ff9b::5db8:d822", "", True),
        ("64:ff9b:1::5db8:d822", "", False),
        ("2002:a00:1::1", "", False),
        ("2002:5db8:d822::1", "", True),
        ("2002:e000:1::", "", False),
        ("2001:0:5db8:d822::1", "", False),
    ],
)
def test_an_address_that_is_not_public_must_be_listed_itself(address: str, listed: str, expected: bool) -> None:
    assert may_connect(address, 443, hosts(listed)) is expected
