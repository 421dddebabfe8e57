"""Sign-in of people with a browser: provider, password, token; their session, and what a cookie may do."""

from __future__ import annotations

import base64
import json
import logging
import re
import warnings
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from served import detail, run_service

from tracking.store.accounts import Accounts
from tracking.store.sign_ins import SignIns

# Of the provider's libraries, which kerastudy does not use in that way.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
HTML = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def provider():
    """A real OpenID Connect provider on loopback, with people of several roles; its address."""
    with warnings.catch_warnings():
        # Of the provider's libraries, not of kerastudy.
        warnings.simplefilter("ignore", DeprecationWarning)
        import oidc_provider_mock

        groups = {"ann": ["tuning"], "root": ["tuning", "operators"], "eve": ["others"]}
        people = [
            oidc_provider_mock.User(sub=f"id-{name}", claims={"preferred_username": name, "groups": of})
            for name, of in groups.items()
        ]
        with oidc_provider_mock.run_server_in_thread(user_claims=people) as server:
            yield f"http://localhost:{server.server_port}"


@pytest.fixture
def with_provider(tmp_path, provider):
    """A service whose people sign in with the provider."""
    secret = tmp_path / "secret"
    secret.write_text("shared\n")
    oidc = {
        "issuer": provider,
        "client_id": "kerastudy",
        "client_secret_file": str(secret),
        "roles": {"admin": ["operators"], "submit": ["tuning"]},
    }
    with run_service(tmp_path, sign_in={"oidc": oidc}) as running:
        yield running


def open_browser(service):
    return httpx.Client(base_url=f"http://127.0.0.1:{service.port}", headers=HTML, trust_env=False, timeout=120)


def send(browser, path, fields, origin=None):
    """Send a form as a browser does: with the origin of the page that holds it."""
    own = str(browser.base_url).rstrip("/")
    return browser.post(path, data=fields, headers={"Origin": origin or own})


def go_to_provider(browser, page="/sign-in/provider?next=/docs"):
    return browser.get(page).headers["location"]


def agree(address, sub):
    """Sign in at the provider, and return the address that it sends the browser back to."""
    answer = httpx.post(address, data={"sub": sub}, trust_env=False, timeout=120)
    return answer.headers["location"]


@contextmanager
def enter(service, name="ann", scope="submit"):
    """Yield a browser that is signed in with a password."""
    account = Accounts(service.store).create(name, scope)
    SignIns(service.store).set_password(account, PASSWORD)
    with open_browser(service) as browser:
        assert send(browser, "/sign-in/password", {"name": name, "password": PASSWORD}).status_code == 303
        yield browser


@pytest.mark.parametrize(("name", "scope"), [("ann", "submit"), ("root", "admin")])
def test_people_sign_in_with_their_provider(with_provider, name, scope):
    """From the opened page to the provider and back, with the scope of one's roles and one account for ever."""
    ids = set()
    for _ in range(2):
        with open_browser(with_provider) as browser:
            answer = browser.get("/docs")
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fdocs")
            assert "Sign in with your organisation" in browser.get("/sign-in?next=%2Fdocs").text
            address = go_to_provider(browser)
            query = parse_qs(urlsplit(address).query)
            assert query["code_challenge_method"] == ["S256"]
            back = browser.get(agree(address, f"id-{name}"))
            assert (back.status_code, back.headers["location"]) == (303, "/docs")
            assert browser.get("/docs").status_code == 200
            me = browser.get("/v1/me").json()
            assert (me["name"], me["scope"]) == (name, scope)
            ids.add(me["id"])
    assert len(ids) == 1


def test_an_answer_of_the_provider_counts_once_and_for_its_browser(with_provider):
    """No role, another state, another browser, a code twice, a foreign nonce: nobody is signed in."""
    with open_browser(with_provider) as browser, open_browser(with_provider) as other:
        assert "no role here" in browser.get(agree(go_to_provider(browser), "id-eve")).text
        back = agree(go_to_provider(browser), "id-ann")
        assert "another browser" in other.get(back).text
        assert "another sign-in" in browser.get(re.sub("state=[^&]*", "state=x", back)).text
        go_to_provider(browser)  # its state and nonce replace those of the attempt above
        assert "another sign-in" in browser.get(back).text
        back = agree(go_to_provider(browser), "id-ann")
        used = browser.cookies.get("kerastudy-attempt")
        assert browser.get(back).status_code == 303
        other.cookies.set("kerastudy-attempt", used, domain="127.0.0.1")
        assert "could not be verified" in other.get(back).text
        assert other.get("/").status_code == 303


def test_a_signed_token_of_another_attempt_is_refused(with_provider, caplog):
    """The nonce in the id token has to be that of the attempt: a token cannot be replayed."""
    caplog.set_level(logging.WARNING, "kerastudy.sign_in")
    with open_browser(with_provider) as browser:
        back = agree(go_to_provider(browser), "id-ann")
        attempt = json.loads(base64.urlsafe_b64decode(browser.cookies["kerastudy-attempt"]))
        forged = base64.urlsafe_b64encode(json.dumps(attempt | {"nonce": "other"}).encode()).decode()
        browser.cookies.clear()
        browser.cookies.set("kerastudy-attempt", forged, domain="127.0.0.1")
        assert "could not be verified" in browser.get(back).text
    assert re.search("a sign-in failed: InvalidClaimError: .*nonce", caplog.text)


def test_a_password_opens_a_session_until_the_sign_out(service):
    """The cookie is a browser's alone, ends with the sign-out, and its text is not in the store."""
    with enter(service) as browser:
        cookie = browser.cookies["kerastudy"]
        page = browser.get("/")
        assert page.status_code == 200
        assert "ann" in page.text
        assert "script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert send(browser, "/sign-out", {}).headers["location"] == "/sign-in"
        browser.cookies.set("kerastudy", cookie, domain="127.0.0.1")
        assert browser.get("/").status_code == 303
    with enter(service, "bob") as browser:
        answer = send(browser, "/sign-in/password", {"name": "bob", "password": PASSWORD})
        assert re.search(r"kerastudy=\S+; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax", answer.headers["set-cookie"])
        Accounts(service.store).remove(Accounts(service.store).get("bob"))
        assert browser.get("/").status_code == 303


def test_with_tls_the_cookie_is_bound_to_the_host(tmp_path):
    """`Secure`, and a name that no other host or page without TLS can set."""
    with run_service(tmp_path, tls_in_front=True) as service, open_browser(service) as browser:
        account = Accounts(service.store).create("ann", "submit")
        SignIns(service.store).set_password(account, PASSWORD)
        answer = send(browser, "/sign-in/password", {"name": "ann", "password": PASSWORD})
    assert answer.headers["set-cookie"].startswith("__Host-kerastudy=")
    assert answer.headers["set-cookie"].endswith("; Secure")


def test_wrong_passwords_are_refused_alike_and_run_out(service):
    """Unknown names and wrong passwords have one answer; after ten, even the right one has to wait."""
    with enter(service) as _, open_browser(service) as browser:
        wrong = [send(browser, "/sign-in/password", {"name": name, "password": "x"}) for name in ("ann", "nobody")]
        assert [each.status_code for each in wrong] == [403, 403]
        assert all("wrong name or password" in each.text for each in wrong)
        for _ in range(9):
            send(browser, "/sign-in/password", {"name": "ann", "password": "x"})
        refused = send(browser, "/sign-in/password", {"name": "ann", "password": PASSWORD})
        assert "too many wrong passwords" in refused.text
        token = service.token("carl", "admin")
        text = token["Authorization"].removeprefix("Bearer ")
        assert send(browser, "/sign-in/token", {"token": text}).status_code == 303
        lines = service.client.get("/v1/audit", params={"operation": "sign_in"}, headers=token).json()["lines"]
    assert {(each["object"], each["outcome"]) for each in lines} == {
        ("ann", "done"),
        ("ann", "refused"),
        ("nobody", "refused"),
        ("carl", "done"),
    }
    assert PASSWORD not in str(lines)


def test_a_session_of_a_token_does_no_more_and_lives_no_longer(service):
    """A browser that signed in with a token has its scope, and is signed out with it."""
    text = service.token("ann", "read")["Authorization"].removeprefix("Bearer ")
    with open_browser(service) as browser:
        assert send(browser, "/sign-in/token", {"token": text, "next": "/docs"}).headers["location"] == "/docs"
        assert browser.get("/v1/me").json()["scope"] == "read"
        root = service.token("root", "admin")
        assert service.client.delete("/v1/tokens/ann", headers=root).status_code == 204
        assert browser.get("/v1/me").status_code == 401
        assert "not valid" in send(browser, "/sign-in/token", {"token": text}).text


FOREIGN = (
    {},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://testserver"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null", "Sec-Fetch-Site": "none"},
)


def test_a_cookie_changes_something_only_from_a_page_of_the_service(service):
    """Without the service's own origin, port included, a request that changes something is refused."""
    with enter(service) as browser:
        for path in ("/v1/studies", "/home/tokens", "/sign-out", "/sign-in/password", "/mlflow/graphql"):
            for headers in FOREIGN:
                answer = browser.post(path, content=b"label=x", headers=headers)
                assert re.search("only from a page of this|pages of other", detail(answer, 403)["detail"]), headers
        assert browser.get("/v1/me/tokens").json() == []
        own = {"Sec-Fetch-Site": "same-origin"}
        assert browser.post("/home/tokens", content=b"label=x", headers=own).status_code == 200


def test_a_token_or_a_wrong_one_is_not_replaced_by_the_cookie(service):
    """A request with a header is judged by the header alone."""
    with enter(service) as browser:
        assert browser.get("/v1/me", headers={"Authorization": "Bearer ks_x"}).status_code == 401
        assert browser.get("/v1/me", headers={"Authorization": "Basic eDp5"}).status_code == 401


def test_the_sign_in_leads_to_this_service_only(service):
    """Whatever the link to the sign-in named."""
    with enter(service) as browser:
        for next_ in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:evil", "/evil\nb"):
            fields = {"name": "ann", "password": PASSWORD, "next": next_}
            assert send(browser, "/sign-in/password", fields).headers["location"] == "/"
            assert "evil" not in browser.get("/sign-in", params={"next": next_}).text


def test_programs_get_no_page(service):
    """Without a browser's headers, the answer is 401 with Bearer; nothing offers a password box."""
    for path in ("/", "/v1/studies", "/mlflow/"):
        answer = service.client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_person_makes_and_removes_tokens_on_the_home_page(service):
    """Shown once; with at most the person's scope; values are escaped."""
    with enter(service) as browser:
        page = send(browser, "/home/tokens", {"label": "laptop", "scope": "submit", "days": "30"}).text
        (text,) = re.findall(r"ks_[0-9a-f]{12}_[\w-]{43}", page)
        assert service.client.get("/v1/me", headers={"Authorization": f"Bearer {text}"}).json()["name"] == "ann"
        assert text not in browser.get("/").text
        assert send(browser, "/home/tokens", {"label": "x", "scope": "admin"}).status_code == 422
        page = send(browser, "/home/tokens", {"label": "<script>", "scope": "read"})
        assert "<script>" not in page.text
        assert send(browser, "/home/tokens/remove", {"label": "laptop"}).status_code == 303
        assert browser.get("/v1/me/tokens").json() == []


def test_a_changed_password_ends_the_sessions(service):
    """Of the account, everywhere; the old password is required, and a short one refused."""
    with enter(service) as browser, open_browser(service) as other:
        send(other, "/sign-in/password", {"name": "ann", "password": PASSWORD})
        assert "old password is wrong" in send(browser, "/home/password", {"old": "x", "new": "y" * 10}).text
        assert "10 to 1000 characters" in send(browser, "/home/password", {"old": PASSWORD, "new": "short"}).text
        assert send(browser, "/home/password", {"old": PASSWORD, "new": "another horse"}).status_code == 303
        assert [each.get("/").status_code for each in (browser, other)] == [303, 303]
        assert send(browser, "/sign-in/password", {"name": "ann", "password": "another horse"}).status_code == 303


def test_a_provider_that_is_away_or_calls_itself_otherwise_signs_in_nobody(tmp_path, provider):
    """The page has the reason; the rest of the service goes on."""
    for issuer, reason in (("http://localhost:1", "does not answer"), (f"{provider}/", "calls itself otherwise")):
        oidc = {"issuer": issuer, "client_id": "kerastudy", "roles": {"read": ["*"]}}
        with (
            run_service(tmp_path / issuer[-1], sign_in={"oidc": oidc, "passwords": False}) as running,
            open_browser(running) as browser,
        ):
            answer = browser.get("/sign-in/provider")
            assert (answer.status_code, reason in answer.text) == (403, True)
            assert "With a password" not in answer.text
            answer = send(browser, "/sign-in/password", {"name": "ann", "password": PASSWORD})
            assert "takes no passwords" in answer.text
