"""Settings: checked when built, frozen, silent about keys."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from extract.config import (
    DEFAULT_MODEL,
    Dialect,
    Endpoint,
    Limits,
    Model,
    Repair,
    Retry,
    Samples,
    Settings,
    is_loopback,
    model_name,
)
from extract.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Limits, {"concurrency": 0}),
        (Limits, {"concurrency": "many"}),
        (Limits, {"timeout": float("nan")}),
        (Limits, {"timeout": float("inf")}),
        (Limits, {"max_cost_usd": 0}),
        (Limits, {"requests_per_minute": -1}),
        (Limits, {"speed": 1}),
        (Model, {"name": ""}),
        (Model, {"max_tokens": 0}),
        (Model, {"temperature": 2.5}),
        (Model, {"top_p": 0}),
        (Model, {"stop": ["a"] * 5}),
        (Model, {"reasoning_effort": "utmost"}),
        (Retry, {"max_attempts": 0}),
        (Retry, {"initial_wait": -1}),
        (Endpoint, {"dialect": "klingon"}),
        (Endpoint, {"finish_optional": "perhaps"}),
    ],
)
def test_an_impossible_setting_is_a_config_error_that_names_it(kind: type[Settings], given: dict[str, object]) -> None:
    """Unknown names and impossible values are refused when built, class and field named."""
    (name,) = given
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.{name}: "):
        kind(**given)


def test_settings_are_frozen() -> None:
    """A setting cannot change after it was checked."""
    with pytest.raises(ValidationError):
        Limits().concurrency = 5


def test_replaced_checks_and_keeps_the_rest() -> None:
    """A changed copy keeps what was set, and is checked like a new one; texts become numbers."""
    limits = Limits(max_requests=5).replaced({"concurrency": "8"})
    assert Limits(max_requests=5, concurrency=8) == limits
    assert {"max_requests", "concurrency"} == limits.model_fields_set
    with pytest.raises(ConfigError, match=r"Limits\.concurrency"):
        limits.replaced({"concurrency": "-1"})


def test_cost_needs_both_prices() -> None:
    """Cost in US dollars, or None when a price is not stated."""
    assert Model().cost_usd(1, 1) is None
    assert Model(input_usd_per_million=1).cost_usd(1, 1) is None
    assert Model(input_usd_per_million=2, output_usd_per_million=10).cost_usd(1_000_000, 500_000) == 7.0


@pytest.mark.parametrize(
    "url",
    ["ftp://host/v1", "host/v1", "", "http://", "https://[::1/v1", "https://host:port/v1", "https://host:99999/v1"],
)
def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    """Scheme, host and port are checked before anything is sent."""
    with pytest.raises(ConfigError, match="Endpoint"):
        Endpoint(base_url=url)


@pytest.mark.parametrize(
    "url", ["https://joe:hunter2@host/v1", "https://hunter2@host/v1", "htps://joe:hunter2@host/v1", "joe:hunter2@host"]
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    """The message does not hold the secret."""
    with pytest.raises(ConfigError) as caught:
        Endpoint(base_url=url)
    assert "hunter2" not in str(caught.value)


def test_a_url_may_hold_an_at_sign_in_its_path() -> None:
    """Only the part before the host is a password."""
    assert Endpoint(base_url="https://host/@cf/v1").base_url == "https://host/@cf/v1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_a_key_goes_over_plain_http_to_loopback_only(host: str) -> None:
    """Loopback is this machine; any other host needs https."""
    assert Endpoint(base_url=f"http://{host}:8080/v1", api_key="sk-1")
    with pytest.raises(ConfigError, match=r"plain http"):
        Endpoint(base_url="http://example.com/v1", api_key="sk-1")
    assert Endpoint(base_url="http://example.com/v1")


def test_what_is_loopback() -> None:
    """Names that only look like it are not."""
    assert [True, True, False, False, False] == [
        is_loopback(host) for host in ("127.0.0.1", "::1", "127.0.0.1.example.com", "0.0.0.0", "localhost.example")
    ]


def test_keys_are_in_no_repr_and_no_error() -> None:
    """A key shows neither in `repr`, `str` nor in an error about other fields."""
    endpoint = Endpoint(api_key="sk-topsecret")
    assert "topsecret" not in repr(endpoint) + str(endpoint) + endpoint.model_dump_json()
    with pytest.raises(ConfigError) as caught:
        Endpoint(api_key="sk-topsecret", base_url="http://example.com/v1")
    assert "topsecret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        Endpoint(api_key=["sk-topsecret"])
    assert "topsecret" not in str(caught.value)


def test_the_environment_fills_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXTRACT_… variables are read here; unset and empty ones keep the default."""
    given = {"EXTRACT_BASE_URL": "https://api.example/v1", "EXTRACT_API_KEY": "sk-1", "EXTRACT_DIALECT": "kie"}
    endpoint = Endpoint.from_environment(given)
    assert (endpoint.base_url, endpoint.dialect) == ("https://api.example/v1", "kie")
    assert endpoint.api_key is not None
    assert endpoint.api_key.get_secret_value() == "sk-1"
    assert Endpoint() == Endpoint.from_environment({"EXTRACT_API_KEY": ""})
    monkeypatch.setenv("EXTRACT_BASE_URL", "https://other.example/v1")
    monkeypatch.setenv("EXTRACT_MODEL", "from-env")
    assert Endpoint.from_environment().base_url == "https://other.example/v1"
    assert model_name(Model()) == "from-env"
    assert model_name(Model(name="own")) == "own"
    assert DEFAULT_MODEL == model_name(Model(), {})


def test_the_local_endpoint_needs_no_key() -> None:
    """`Endpoint.local` starts the model of this machine; its URL is not checked."""
    endpoint = Endpoint.local("m.gguf")
    assert (endpoint.is_local, endpoint.model_path, endpoint.api_key) == (True, "m.gguf", None)


def test_extra_body_cannot_replace_the_pipelines_own_fields() -> None:
    """What the pipeline says itself, such as `stream`, is not up for change."""
    with pytest.raises(ConfigError, match="extra_body cannot set messages, stream"):
        Model(extra_body={"stream": True, "messages": [], "top_k": 3})
    for name in ("model", "max_tokens", "response_format", "tools", "tool_choice", "functions", "function_call", "n"):
        with pytest.raises(ConfigError, match=f"extra_body cannot set {name};"):
            Model(extra_body={name: 2})
    assert {"top_k": 3} == Model(extra_body={"top_k": 3}).extra_body


def test_extra_body_and_the_model_cannot_both_set_a_field() -> None:
    """One of the two would be lost silently; extra_body alone may hold what the field does not take."""
    with pytest.raises(ConfigError, match="both set seed, temperature"):
        Model(temperature=0, seed=1, extra_body={"temperature": 1, "seed": 2})
    assert Model(extra_body={"reasoning_effort": "none"}).extra_body == {"reasoning_effort": "none"}


@pytest.mark.parametrize(
    ("dialect", "url"),
    [
        ("openai", "https://toapis.com/v1"),
        ("toapis", "https://toapis.com/v1"),
        ("auto", "https://toapis.com/v1"),
        ("kie", "https://api.kie.ai"),
        ("llamacpp", "http://127.0.0.1:8080/v1"),
    ],
)
def test_each_dialect_has_a_base_url_of_its_own(dialect: Dialect, url: str) -> None:
    """Unless one is given; nobody has said then where requests go."""
    endpoint = Endpoint.from_environment({"EXTRACT_DIALECT": dialect})
    assert (dialect, url, False) == (endpoint.dialect, endpoint.base_url, endpoint.is_set)
    assert "https://a.example/v1" == Endpoint(dialect=dialect, base_url="https://a.example/v1").base_url


def test_a_resolved_endpoint_keeps_everything_else() -> None:
    """Where auto stood is what was found out; a base URL that was given stays, one that was not is the dialect's."""
    endpoint = Endpoint(base_url="https://a.example/v1", api_key="sk-1", dialect="auto", finish_optional=True)
    found = endpoint.resolved("kie")
    assert ("kie", "https://a.example/v1", True) == (found.dialect, found.base_url, found.finish_optional)
    assert endpoint.api_key == found.api_key
    assert "auto" == endpoint.dialect
    assert "https://api.kie.ai" == Endpoint(dialect="auto").resolved("kie").base_url


def test_a_wrong_dialect_is_the_one_thing_said() -> None:
    """With the choices; not that the address could then not be chosen either."""
    with pytest.raises(ConfigError) as caught:
        Endpoint.from_environment({"EXTRACT_DIALECT": "bogus"})
    said = "Endpoint.dialect: Input should be 'toapis', 'kie', 'openai', 'llamacpp' or 'auto'"
    assert said == str(caught.value)


def test_a_misspelt_setting_is_told_with_the_one_it_may_be() -> None:
    with pytest.raises(ConfigError, match=r"Repair.max_repair: there is no such setting .did you mean 'max_repairs'"):
        Repair(max_repair=2)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"Samples.zzz: there is no such setting .there are: n, escalate_below"):
        Samples(n=3, zzz=1)  # type: ignore[call-arg]
