"""Masks secrets in what is about to be written down: values, command lines, URLs.

Only strings are ever masked: where the name's last word says so, or where the value has the
pattern of a known kind of key. Numbers, booleans and words under 12 characters always stay, so
that `max_tokens`, `tokenizer` and `pad_token="<pad>"` are recorded as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["MASK", "clean_url", "mask_command", "mask_text", "mask_values", "names_a_secret"]

MASK = "***"

SHORTEST = 12
"""Shorter words are no secrets worth the name, and often special tokens of a tokenizer."""

_LAST_WORDS = frozenset({
    "token", "password", "passwords", "passwd", "secret", "secrets", "credential", "credentials",
    "apikey",
})  # fmt: skip
_LAST_PAIRS = frozenset({("api", "key"), ("access", "key"), ("secret", "key"), ("private", "key")})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_KEYS = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
      sk-[A-Za-z0-9_-]{20,}                      # OpenAI, Anthropic and others
    | [sr]k_(?:live|test)_[A-Za-z0-9]{16,}       # Stripe
    | gh[opusr]_[A-Za-z0-9]{30,}                 # GitHub
    | github_pat_[A-Za-z0-9_]{22,}
    | glpat-[A-Za-z0-9_-]{20,}                   # GitLab
    | (?:AKIA|ASIA)[0-9A-Z]{16}                  # AWS
    | AIza[0-9A-Za-z_-]{35}                      # Google
    | ya29\.[0-9A-Za-z_-]{20,}
    | hf_[A-Za-z0-9]{20,}                        # Hugging Face
    | xox[abeoprs]-[A-Za-z0-9-]{10,}             # Slack
    | npm_[A-Za-z0-9]{36}
    | pypi-[A-Za-z0-9_-]{50,}
    | nvapi-[A-Za-z0-9_-]{20,}
    | gsk_[A-Za-z0-9]{30,}                       # Groq
    | r8_[A-Za-z0-9]{30,}                        # Replicate
    | dckr_pat_[A-Za-z0-9_-]{20,}
    | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,} # SendGrid
    | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JSON web token
    )
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[^-]*(?:-----END\ [A-Z ]*PRIVATE\ KEY-----)?
    """,
    re.VERBOSE,
)
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/\s?#@]*)@")
_QUERY = re.compile(r"(?P<head>[?&](?P<name>[\w.-]+)=)(?P<value>[^&#\s'\"]{12,})")
_ASSIGNMENT = re.compile(r"(?P<head>(?P<name>[-+\w./]+)=)(?P<value>.*)", re.DOTALL)
_LITERAL = re.compile(r"[-+]?[0-9][0-9_.]*(?:[eE][-+]?[0-9]+)?|true|false|none|null", re.IGNORECASE)


def names_a_secret(name: str) -> bool:
    """Whether the last word of `name` (snake, kebab, camel or dotted) names a secret."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    return words[-1] in _LAST_WORDS or tuple(words[-2:]) in _LAST_PAIRS


def clean_url(url: str) -> str:
    """Return a remote's URL without credentials; the account name of an ssh URL stays."""
    return mask_text(_USERINFO.sub(_without_userinfo, url))


def mask_text(text: str) -> str:
    """Return `text` with known kinds of keys and the credentials of URLs replaced by `***`."""
    if len(text) < SHORTEST:
        return text
    text = _KEYS.sub(MASK, text)
    if "://" in text:
        text = _USERINFO.sub(_masked_userinfo, text)
        text = _QUERY.sub(_masked_query, text)
    return text


def mask_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a masked copy of nested plain data, and the dotted names of what was masked."""
    masked: list[str] = []
    return {key: _masked(value, key, key, masked) for key, value in values.items()}, masked


def mask_command(command: Sequence[str], known: Iterable[str] = ()) -> list[str]:
    """Return a command line without its secrets.

    `known` are values already recognised elsewhere (the arguments parsed from this very line),
    which covers short options whose name says nothing.
    """
    secrets = sorted((value for value in known if len(value) >= SHORTEST), key=len, reverse=True)
    result: list[str] = []
    is_secret = False
    for word in command:
        if is_secret and not word.startswith("-") and _is_long(word):
            result.append(MASK)
            is_secret = False
            continue
        assignment = _ASSIGNMENT.fullmatch(word)
        is_option = word.startswith("-") and assignment is None
        is_secret = is_option and names_a_secret(word)
        result.append(_mask_word(word, assignment, secrets))
    return result


def _mask_word(word: str, assignment: re.Match[str] | None, secrets: Sequence[str]) -> str:
    if assignment and names_a_secret(assignment["name"]) and _is_long(assignment["value"]):
        return assignment["head"] + MASK
    for secret in secrets:
        word = word.replace(secret, MASK)
    return mask_text(word)


def _masked(value: Any, name: str, path: str, masked: list[str]) -> Any:
    if isinstance(value, str):
        hidden = MASK if names_a_secret(name) and len(value) >= SHORTEST else mask_text(value)
        if hidden != value:
            masked.append(path)
        return hidden
    if isinstance(value, dict):
        return {key: _masked(item, key, f"{path}.{key}", masked) for key, item in value.items()}
    if isinstance(value, list):
        # a list named `tokens` is data; a list under a secret's name holds several secrets
        return [_masked(item, name, f"{path}.{i}", masked) for i, item in enumerate(value)]
    return value


def _is_long(value: str) -> bool:
    return len(value) >= SHORTEST and _LITERAL.fullmatch(value) is None


def _without_userinfo(match: re.Match[str]) -> str:
    if "ssh" in match["scheme"]:
        return f"{match['scheme']}://{match['user'].partition(':')[0]}@"
    return f"{match['scheme']}://"


def _masked_userinfo(match: re.Match[str]) -> str:
    user, colon, _ = match["user"].partition(":")
    if "ssh" in match["scheme"] or not (colon or len(user) >= SHORTEST):
        return f"{match['scheme']}://{user}{colon and ':' + MASK}@"
    return f"{match['scheme']}://{MASK}@"


def _masked_query(match: re.Match[str]) -> str:
    return match["head"] + MASK if names_a_secret(match["name"]) else match[0]
