from __future__ import annotations

from pathlib import Path

import pytest

from clew_server.config import (
    ConfigurationProblems,
    bytes_from_text,
    load,
    reference_page,
    seconds_from_text,
    text_from_bytes,
    text_from_seconds,
)

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
            {"http_port": "70000", "retention": "soon", "host": "0.0.0.0", "receive": "zipkin", "token_file": None},
            {"CLEW_MAX_DISK": "much"},
        )
    text = "\n".join(caught.value.problems)
    for part in ("--http-port", "--retention", "--host 0.0.0.0", "CLEW_MAX_DISK", "zipkin"):
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
