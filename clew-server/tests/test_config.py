from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clew_server import config
from clew_server.config import (
    ConfigurationProblems,
    Listening,
    bytes_from_text,
    load,
    reference_page,
    seconds_from_text,
    text_from_bytes,
    text_from_seconds,
)
from clew_server.receivers import table

REPOSITORY = Path(__file__).parents[2]


def test_options_win_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "clew.toml"
    file.write_text('http-port = 1\notlp_http_port = 1\notlp_grpc_port = 1\nretention = "2d"\n')
    config = load(
        {"config": str(file), "http_port": "3", "data_dir": str(tmp_path)},
        {"CLEW_HTTP_PORT": "2", "CLEW_OTLP_HTTP_PORT": "2"},
    )
    assert (config.http_port, config.otlp_http_port, config.otlp_grpc_port) == (3, 2, 1)
    assert (config.retention_s, config.max_disk_bytes) == (2 * 86400, 20 * 10**9)


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblems) as caught:
        load(
            {
                "http_port": "70000",
                "retention": "soon",
                "host": "0.0.0.0",
                "receive": "carrier-pigeon",
                "token_file": None,
            },
            {"CLEW_MAX_DISK": "much"},
        )
    text = "\n".join(caught.value.problems)
    for part in ("--http-port", "--retention", "--host 0.0.0.0", "CLEW_MAX_DISK", "carrier-pigeon"):
        assert part in text
    assert len(caught.value.problems) == 5


def test_another_address_than_loopback_wants_a_token_or_insecure(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    assert load({"host": "0.0.0.0", "token_file": str(token)}, {}).token == "secret"
    assert load({"host": "0.0.0.0", "insecure": "true"}, {}).token is None
    with pytest.raises(ConfigurationProblems, match="--token-file"):
        load({"host": "0.0.0.0"}, {})


def test_an_unknown_name_in_the_file_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "clew.toml"
    file.write_text("htp-port = 1\n")
    with pytest.raises(ConfigurationProblems, match="htp-port"):
        load({"config": str(file)}, {})


def test_the_default_folder_is_the_users_data_home() -> None:
    assert load({}, {"XDG_DATA_HOME": "/data/home"}).data_dir == Path("/data/home/clew")
    assert load({}, {"HOME": "/home/me"}).data_dir == Path("/home/me/.local/share/clew")


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("512MiB", 512 * 2**20), ("1000", 1000), ("1.5 kB", 1500)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert bytes_from_text(text) == size


def test_lengths_of_time_have_units() -> None:
    assert seconds_from_text("7d") == 604800
    assert text_from_seconds(604800) == "7 days"
    assert text_from_bytes(20 * 10**9) == "20 GB"
    with pytest.raises(ValueError, match="length of time"):
        seconds_from_text("7")


def test_the_reference_page_is_current() -> None:
    page = (REPOSITORY / "docs/reference/configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), (
        "write it anew: python -c 'from clew_server.config import reference_page; print(reference_page(), end=\"\")'"
    )


@pytest.mark.parametrize(
    ("option", "text"), [("retention", "9" * 400 + "d"), ("retention", "1000001d"), ("max_disk", "9" * 400 + "TB")]
)
def test_a_length_or_size_beyond_all_measure_is_refused_with_what_is_possible(option: str, text: str) -> None:
    with pytest.raises(ConfigurationProblems, match="up to"):
        load({option: text}, {})


def test_a_ready_file_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    for file, why in ((tmp_path / "missing" / "ready.json", "there is no folder"), (tmp_path, "is a folder")):
        with pytest.raises(ConfigurationProblems, match=f"--ready-file .*{why}"):
            load({"ready_file": str(file), "data_dir": str(tmp_path / "data")}, {})
    inside = tmp_path / "data" / "ready.json"
    assert load({"ready_file": str(inside), "data_dir": str(tmp_path / "data")}, {}).ready_file == inside


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three receivers: one alone, two with a common beginning, of which one cannot carry a token."""
    lines = (
        *(line for line in table.RECEIVERS if line.option),
        table.Line("zipkin", "http", 1111, "none:NONE", ""),
        table.Line("jaeger-http", "http", 2222, "none:NONE", ""),
        table.Line("jaeger-udp", "udp", 3333, "none:NONE", ""),
    )
    monkeypatch.setattr(table, "RECEIVERS", lines)
    monkeypatch.setattr(table, "BY_NAME", {line.name: line for line in lines})
    monkeypatch.setattr(table, "OPTIONAL", {line.name: line for line in lines if not line.option})


def received(text: str, **options: str) -> list[tuple[str, str, int]]:
    return [(one.name, one.host, one.port) for one in load({"receive": text, **options}, {}).receive]


@pytest.mark.usefixtures("receivers")
def test_receivers_are_named_alone_by_their_common_beginning_all_together_or_not_at_all() -> None:
    zip_, http, udp = (
        ("zipkin", "127.0.0.1", 1111),
        ("jaeger-http", "127.0.0.1", 2222),
        ("jaeger-udp", "127.0.0.1", 3333),
    )
    assert received("none") == received("") == []
    assert received("zipkin") == [zip_]
    assert received("jaeger") == [http, udp]
    assert received("jaeger, zipkin") == received("all") == [zip_, http, udp]
    assert received("jaeger-udp@127.0.0.1:9") == [("jaeger-udp", "127.0.0.1", 9)]
    assert (
        received("jaeger,jaeger-udp@[::1]:0")
        == received("jaeger-udp@[::1]:0,jaeger")
        == [http, ("jaeger-udp", "::1", 0)]
    )


@pytest.mark.usefixtures("receivers")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat", "zipkin"),
        ("jaeger@127.0.0.1:1", "one receiver only: jaeger-http@HOST:PORT"),
        ("all@127.0.0.1:1", "one receiver only"),
        ("zipkin@9411", "an address like"),
        ("zipkin@localhost:high", "a port from 0"),
        ("zipkin@127.0.0.1:1,zipkin@127.0.0.1:2", "once only"),
        ("zipkin@0.0.0.0:1111", "--token-file"),
        ("otlp-http", "there is no 'otlp-http'"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(ConfigurationProblems, match=said):
        load({"receive": text}, {})


@pytest.mark.usefixtures("receivers")
def test_what_cannot_carry_the_token_and_what_nobody_named_stays_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    open_to_all = {"host": "0.0.0.0", "token_file": str(token)}
    assert received("all", **open_to_all) == [
        ("zipkin", "0.0.0.0", 1111),
        ("jaeger-http", "0.0.0.0", 2222),
        ("jaeger-udp", "127.0.0.1", 3333),
    ]
    with pytest.raises(ConfigurationProblems, match="cannot carry a token"):
        load({"receive": "jaeger-udp@0.0.0.0:3333", **open_to_all}, {})
    assert received("jaeger-udp", insecure="true", host="0.0.0.0") == [("jaeger-udp", "0.0.0.0", 3333)]
    monkeypatch.setattr("clew_server.config.OPTIONS", tuple(_with_default(one) for one in config.OPTIONS))
    assert load(open_to_all, {}).receive == (Listening("zipkin", "127.0.0.1", 1111, must_open=False),)
    assert load({"receive": "zipkin"}, {}).receive == (Listening("zipkin", "127.0.0.1", 1111, must_open=True),)


def _with_default(option: config.Option) -> config.Option:
    return dataclasses.replace(option, default="zipkin") if option.name == "receive" else option
