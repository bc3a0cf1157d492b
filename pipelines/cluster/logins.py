"""Who asks: no login, a token, a session cookie of Dex or another OIDC proxy, or Google's Identity-Aware Proxy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

from mainspring.components.common.errors import UserError

TOKEN_PATH_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
"""KFP's own name for the path of the token that Kubernetes projects into a notebook's or task's pod."""
TOKEN_PATH = "/var/run/secrets/kubeflow/pipelines/token"
ADVICE = (
    "give a token (MAINSPRING_TOKEN), a cookie (MAINSPRING_COOKIE), a user name and password for Dex "
    "(MAINSPRING_USERNAME, MAINSPRING_PASSWORD) or an IAP client id"
)


class Login(Protocol):
    """How requests say who asks."""

    description: str
    """What was given, for an error's sentence: "no login was given"."""
    advice: str
    """What to do when that is refused."""

    def headers(self) -> dict[str, str]:
        """Returns the headers that say who asks."""

    def renew(self) -> bool:
        """Gets new credentials, if there is a way; whether it did."""


class NoLogin:
    """Asks without a name, as behind `kubectl port-forward`."""

    description = "no login was given"
    advice = ADVICE

    def headers(self) -> dict[str, str]:
        """Returns none."""
        return {}

    def renew(self) -> bool:
        """Does nothing."""
        return False


class TokenLogin:
    """Sends a fixed token."""

    description = "the token that was given is wrong, expired or for another audience"
    advice = "get a new one (`kubectl create token …`, or from your identity provider)"

    def __init__(self, token: str) -> None:
        self._token = token.strip()

    def headers(self) -> dict[str, str]:
        """Returns the bearer token."""
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        """Cannot."""
        return False


class TokenFileLogin:
    """Sends the token in a file, read for every request: Kubernetes replaces a projected token before it expires."""

    advice = "see that the pod has KFP's projected token (a PodDefault gives it to a notebook), or give a token"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.description = f"the token in {path} is not taken"

    def headers(self) -> dict[str, str]:
        """Returns the bearer token of now."""
        try:
            return {"Authorization": f"Bearer {self._path.read_text(encoding='utf-8').strip()}"}
        except OSError as error:
            raise UserError(f"{self._path}: the token cannot be read ({error.strerror}); {self.advice}") from error

    def renew(self) -> bool:
        """Has nothing to do: the file is read for every request."""
        return False


class CookieLogin:
    """Sends a session cookie, as a browser got it from an OIDC proxy."""

    description = "the cookie that was given is wrong or expired"
    advice = "log in with a browser and copy the session's cookie, or give a user name and password"

    def __init__(self, cookie: str) -> None:
        """Takes it as browsers show it: `authservice_session=…` or `oauth2_proxy_kubeflow=…`."""
        if "=" not in cookie:
            raise UserError("cookie: is no name=value; copy it as the browser shows it, such as authservice_session=…")
        self._cookie = cookie.strip()

    def headers(self) -> dict[str, str]:
        """Returns the cookie."""
        return {"Cookie": self._cookie}

    def renew(self) -> bool:
        """Cannot."""
        return False


class DexLogin:
    """Logs in at Dex's form with a name and a password, and once more when the session has expired."""

    description = "Dex's session was not taken"
    advice = "check that this user may use Kubeflow Pipelines"

    def __init__(self, url: str, username: str, password: str, *, verify: bool | str = True) -> None:
        """Connects to nothing yet."""
        self._url, self._username, self._password, self._verify = url, username, password, verify
        self._cookie = ""

    def headers(self) -> dict[str, str]:
        """Returns the session's cookies; logs in first if there is no session."""
        if not self._cookie:
            self._cookie = self._log_in()
        return {"Cookie": self._cookie}

    def renew(self) -> bool:
        """Logs in anew."""
        self._cookie = self._log_in()
        return True

    def _log_in(self) -> str:
        import requests

        session = requests.Session()
        session.verify = self._verify
        try:
            page = session.get(self._url, timeout=(5, 30))
            if "/dex/" not in page.url and "/oauth2/" in page.text:
                page = session.get(urljoin(page.url, "/oauth2/start"), timeout=(5, 30))  # A page with a button first.
            if "/auth?" in page.url:  # The choice of ways to log in: the local users are behind this one.
                page = session.get(page.url.replace("/auth?", "/auth/local?", 1), timeout=(5, 30))
            if "/dex/" not in page.url:
                raise UserError(f"{self._url}: shows no login of Dex's ({page.url}, {page.status_code}); give a cookie")
            answer = session.post(page.url, data={"login": self._username, "password": self._password}, timeout=(5, 30))
            if "/approval" in answer.url:
                answer = session.post(answer.url, data={"approval": "approve"}, timeout=(5, 30))
        except requests.exceptions.RequestException as error:
            raise UserError(
                f"{self._url}: cannot be reached for the login ({type(error).__name__}); is the address right?"
            ) from error
        if "/dex/" in answer.url or answer.status_code == 401:
            raise UserError(f"{self._url}: Dex refuses user {self._username!r}; check name and password")
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies if "/dex" not in cookie.path)


class IapLogin:
    """Asks Google for an identity token for an Identity-Aware Proxy, and for a new one when it has expired."""

    description = "Google's Identity-Aware Proxy does not take the identity"
    advice = "give the account the role IAP-secured Web App User, and check the client id"

    def __init__(self, client_id: str, desktop_client: tuple[str, str] | None = None) -> None:
        """Asks for nothing yet.

        Args:
            client_id: The proxy's OAuth client id.
            desktop_client: Id and secret of an OAuth client of the kind "desktop app": a person logs in, with a
                browser, the first time. None: a service account, by Google's default credentials.
        """
        self._client_id, self._desktop_client = client_id, desktop_client
        self._token = ""

    def headers(self) -> dict[str, str]:
        """Returns the identity token."""
        if not self._token:
            self._token = self._fetch()
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        """Asks for a new token."""
        self._token = self._fetch()
        return True

    def _fetch(self) -> str:
        if self._desktop_client:
            from kfp.client import auth

            token, _ = auth.get_auth_token(self._client_id, *self._desktop_client)
            return str(token)
        from google.auth import exceptions
        from google.auth.transport.requests import Request
        from google.oauth2 import id_token

        try:
            return str(id_token.fetch_id_token(Request(), self._client_id))
        except exceptions.GoogleAuthError as error:
            raise UserError(
                f"IAP: no identity token for {self._client_id} ({' '.join(str(error).split())[:200]}); set "
                "GOOGLE_APPLICATION_CREDENTIALS to a service account's key, or run where Google gives an identity"
            ) from error


@dataclass(frozen=True)
class Credentials:
    """What somebody gave to log in with; empty is not given."""

    token: str = ""
    cookie: str = ""
    username: str = ""
    password: str = ""
    iap_client_id: str = ""
    iap_desktop_client: tuple[str, str] | None = None

    @property
    def are_given(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self.token or self.cookie or self.username or self.iap_client_id)


def from_environment() -> Credentials:
    """Returns what the environment's variables give."""
    value = os.environ.get
    return Credentials(
        value("MAINSPRING_TOKEN", ""),
        value("MAINSPRING_COOKIE", ""),
        value("MAINSPRING_USERNAME", ""),
        value("MAINSPRING_PASSWORD", ""),
        value("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", ""),
    )


def login(credentials: Credentials, url: str, verify: bool | str) -> Login:
    """Returns the login that fits what was given; in a pod with KFP's token and nothing given, that token's."""
    if credentials.token:
        return TokenLogin(credentials.token)
    if credentials.cookie:
        return CookieLogin(credentials.cookie)
    if credentials.username:
        return DexLogin(url, credentials.username, credentials.password, verify=verify)
    if credentials.iap_client_id:
        return IapLogin(credentials.iap_client_id, credentials.iap_desktop_client)
    path = Path(os.environ.get(TOKEN_PATH_VARIABLE) or TOKEN_PATH)
    return TokenFileLogin(path) if path.is_file() else NoLogin()
