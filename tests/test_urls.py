"""What of a URL a message may show: the host always, a secret never."""

import pytest

from tau_retail_env.urls import has_credentials, shown_url, without_secrets

KEYS = (
    "sk-proj-Ab3dEf6hIj9kLmN0",
    "sk-secret-1234",
    "hf_abcdefghijkl",
    "3f2a9c1b7d8e4f60a1b2c3d4e5f60718",
    "550e8400-e29b-41d4-a716-446655440000",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQaZbYcXdWeV",
    "1234567890123456",
    "key=abc",
    "api-token:abc",
    "ab%33cdefghijkl0",
)
ORDINARY = (
    "/v1",
    "/api/v1",
    "/openai/v1",
    "/openai/deployments/gpt-4o-2024-08-06",
    "/v1beta/openai",
    "/v1/projects/my-shop-123456/locations/northamerica-northeast1/endpoints/openapi",
    "/models/meta-llama/Llama-3.3-70B-Instruct/v1",
    "/serving-endpoints",
    "/inference/v1",
    "/compatible-mode/v1",
    "/token/v1",
    "/$GATEWAY_TOKEN/v1",
    "/token/$GATEWAY_TOKEN/v1",
)


@pytest.mark.parametrize("path", ORDINARY)
def test_ordinary_paths_are_shown(path):
    assert shown_url(f"https://gateway.example:8443{path}") == f"https://gateway.example:8443{path}"


@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_in_a_path_is_not_shown_and_the_rest_is(key):
    assert shown_url(f"https://gateway.example/team/{key}/v1") == "https://gateway.example/team/***/v1"


@pytest.mark.parametrize("before", ["token", "key", "api-key", "secrets"])
def test_what_stands_behind_the_word_key_is_one_however_short(before):
    assert shown_url(f"http://host/{before}/abc/v1") == f"http://host/{before}/***/v1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:8000/v1", "https://***@host:8000/v1"),
        ("https://secret@host/v1", "https://***@host/v1"),
        ("https://user:se/cr?et@host/v1", "https://***@host/v1"),
        ("https://user:se#cret@host:1", "https://***@host:1"),
        ("https://host/v1?key=secret&version=1", "https://host/v1?***"),
        ("https://host?secret", "https://host?***"),
        ("https://host/v1#secret", "https://host/v1#***"),
        ("http://[::1]:8000/v1?secret", "http://[::1]:8000/v1?***"),
        ("http://[::1]/@scope/v1", "http://[::1]/@scope/v1"),
        ("http://host:8000/@scope/v1", "http://host:8000/@scope/v1"),
        ("user:secret@host/v1", "***@host/v1"),
        ("localhost:8000/v1", "localhost:8000/v1"),
        ("http://host:somesecret/v1", "http://host:***/v1"),
        ("http://host:80o0/v1", "http://host:80o0/v1"),
        ("http://", "http://"),
        ("", ""),
    ],
)
def test_a_user_name_a_password_and_a_query_are_not_shown(url, shown):
    assert shown_url(url) == shown


def test_urls_are_found_in_the_middle_of_a_text():
    text = "with ['user.base_url=https://a:b@host/v1', \"x=http://host/sk-secret-1234/v1\"] (see docs/roll.md#top?)"
    assert without_secrets(text) == (
        "with ['user.base_url=https://***@host/v1', \"x=http://host/***/v1\"] (see docs/roll.md#top?)"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://user:password@proxy:3128", True),
        ("https://host/?api_key=abc", True),
        ("https://host/?a=1&token=abc", True),
        ("https://host/?q=3f2a9c1b7d8e4f60a1b2c3d4e5f60718", True),
        ("https://host/run?page=2", False),
        ("see https://host/commit/3f2a9c1b7d8e4f60a1b2c3d4e5f60718", False),
        ("somebody@example.com", False),
    ],
)
def test_a_url_with_credentials_is_told_from_others(text, found):
    assert has_credentials(text) == found
