import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook.conditions import secrets

LONG = "0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "hf_token",
        "wandbToken",
        "API_KEY",
        "api-key",
        "openai.apiKey",
        "password",
        "db_password",
        "client_secret",
        "google_credential",
        "WANDB_API_KEY",
        "--api_key",
        "aws_secret_access_key",
    ],
)
def test_names_of_secrets(name):
    assert secrets.names_a_secret(name)
    assert secrets.mask_values({name: LONG}) == ({name: "***"}, [name])


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokenizer",
        "token_dropout",
        "secretary",
        "password_length",
        "key",
        "monkey",
        "keys",
        "api",
    ],
)
def test_names_of_no_secrets(name):
    assert not secrets.names_a_secret(name)
    assert secrets.mask_values({name: LONG}) == ({name: LONG}, [])


@pytest.mark.parametrize(
    "value", [5, 123456789012345, 0.5, True, None, "<pad>", "</s>", "eleven chars"[:11]]
)
def test_numbers_booleans_and_short_words_stay(value):
    assert secrets.mask_values({"pad_token": value}) == ({"pad_token": value}, [])


KEYS = {
    "openai": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
    "github": "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "hugging face": "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF123_-",
    "slack": "xoxb-123456789012-abcdefghij",
    "gitlab": "glpat-abcdefghij0123456789",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_known_kinds_of_keys_wherever_they_are(key):
    assert secrets.mask_text(key) == "***"
    assert secrets.mask_values({"note": [f"use {key}, please"]})[0] == {"note": ["use ***, please"]}
    assert key not in " ".join(secrets.mask_command(["train.py", f"--x={key}", key]))


@pytest.mark.parametrize(
    "text", ["sk-learn", "risk-" + "a" * 30, "task_sk", "a/b/c.txt", "sha256:" + "a" * 64]
)
def test_ordinary_words_stay(text):
    assert secrets.mask_text(text) == text


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        (["--api_key", LONG, "--lr", "1"], ["--api_key", "***", "--lr", "1"]),
        ([f"--api-key={LONG}"], ["--api-key=***"]),
        ([f"+db.password={LONG}"], ["+db.password=***"]),
        ([f"HF_TOKEN={LONG}", "python"], ["HF_TOKEN=***", "python"]),
        (["--max_tokens", "123456789012"], ["--max_tokens", "123456789012"]),
        (["--pad_token", "<pad>"], ["--pad_token", "<pad>"]),
        (["--token", "--verbose-output"], ["--token", "--verbose-output"]),
        (["--use-token", "true", "x"], ["--use-token", "true", "x"]),
        (["-k", LONG + "known"], ["-k", "***"]),
        (["--db=postgres://me:hunter2@host/x"], ["--db=postgres://***@host/x"]),
    ],
)
def test_command_lines(line, masked):
    assert secrets.mask_command(line, known=[LONG + "known"]) == masked


def test_a_list_under_a_secrets_name():
    values, masked = secrets.mask_values(
        {"secrets": [LONG, "short"], "a": {"b": [{"password": LONG}]}}
    )
    assert values == {"secrets": ["***", "short"], "a": {"b": [{"password": "***"}]}}
    assert masked == ["secrets.0", "a.b.0.password"]


@given(st.lists(st.text()))
def test_a_command_line_keeps_its_length(line):
    assert len(secrets.mask_command(line)) == len(line)


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text() | st.integers())))
@settings(max_examples=50)
def test_masking_is_idempotent_and_leaves_the_given_alone(values):
    copy = repr(values)
    once, _ = secrets.mask_values(values)
    assert secrets.mask_values(once)[0] == once
    assert repr(values) == copy
