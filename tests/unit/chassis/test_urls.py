"""URLs of settings: what cannot work is refused, by the parameter's name at most."""

import pytest
from redis.asyncio import ConnectionPool

from chassis.urls import check_redis_url, check_server_url

GOOD = [
    "redis://localhost:6379/0",
    "redis://:p%40ss%2F@host:6379/0",
    "rediss://user:p@host:6380?ssl_cert_reqs=none&db=2",
    "redis://host?socket_timeout=1.5&health_check_interval=30&client_name=greenroom&protocol=3&socket_keepalive=true",
    "redis:///1",
    "redis://host:6379/0?username=bob&password=p%40ss%20word",
    "redis://host?password=p@ss",
    "unix:///run/redis.sock?db=1",
    "unix://user:p@/run/redis.sock",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_redis_url_that_is_accepted_makes_a_connection(url: str) -> None:
    assert check_redis_url(url) == url
    ConnectionPool.from_url(url).make_connection()


def test_a_user_and_a_password_may_be_parameters() -> None:
    url = check_redis_url("redis://host/0?username=bob&password=p%40ss%2Fword")

    connection = ConnectionPool.from_url(url).make_connection()

    assert (connection.username, connection.password) == ("bob", "p@ss/word")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2#x@host:6379/0",
        "redis://:hunter2/x@host:6379/0",
        "redis://:12/hunter2@host:6379/0",
        "redis://:12#hunter2@host:6379/0",
        "redis://bob?hunter2=x@host:6379/0",
        "redis://:hunter2?x@host:6379/0",
        "redis://bob:hunter2@host:port/0",
        "redis://bob:hunter2@host:99999/0",
        "redis://bob:hunter2@/0",
        "redis://bob:hunter2@host/name",
        "redis://bob:hunter2@host/0?db=first",
        "redis://bob:hunter2@host/0?word",
        "redis://bob:hunter2%ff@host/0",
        "redis://bob:hunter2@[::1/0",
        "unix://bob:hunter2@",
    ],
)
def test_a_redis_url_that_cannot_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_redis_url(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://host/0?conect_timeout=1", "conect_timeout is unknown"),
        ("redis://host/0?ssl_cert_reqs=none", "ssl_cert_reqs is unknown; only rediss://"),
        ("redis://host/0?decode_responses=true", "decode_responses"),
        ("redis://host/0?max_connections=many", "max_connections has a value"),
    ],
)
def test_an_unknown_parameter_is_named(url: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_redis_url(url)


@pytest.mark.parametrize("url", ["localhost:11434/v1", "hunter2@host", "host"])
def test_a_servers_url_without_a_scheme_is_told_to_begin_with_one(url: str) -> None:
    with pytest.raises(ValueError, match="begin with a scheme such as http://") as caught:
        check_server_url(url)
    assert "hunter2" not in str(caught.value)


def test_a_servers_url_holds_no_credentials() -> None:
    assert check_server_url("wss://host:7880/path") == "wss://host:7880/path"
    for url in (
        "http://bob:hunter2@host",
        "http://hunter2@host",
        "http://host:99999",
        "http://[::1",
        "http://",
        "http://host/?key=hunter2",
        "http://host/#hunter2",
    ):
        with pytest.raises(ValueError, match=r".") as caught:
            check_server_url(url)
        assert "hunter2" not in str(caught.value)
