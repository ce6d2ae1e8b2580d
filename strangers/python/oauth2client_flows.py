"""PyPI requests-oauth2client."""

import requests
from requests_oauth2client import (
    AuthorizationPending,
    DPoPKey,
    DPoPToken,
    InvalidGrant,
    OAuth2Client,
)

from browser import visit

NAME = "requests-oauth2client"


def client_of(setup, client):
    found = requests.get(f"{setup['issuer']}/.well-known/openid-configuration", timeout=30).json()
    return OAuth2Client.from_discovery_endpoint(
        issuer=setup["issuer"],
        client_id=client["id"],
        client_secret=client["secret"],
        redirect_uri=setup["redirectUri"],
        id_token_signed_response_alg=setup["alg"],
        # The one endpoint the library does not take from the document.
        device_authorization_endpoint=found["device_authorization_endpoint"],
        testing=True,
    )


def log_in(setup, client, par=False, **more):
    oauth = client_of(setup, client)
    asked = oauth.authorization_request(scope=setup["scope"], **more)
    link = oauth.pushed_authorization_request(asked).uri if par else asked.uri
    back = visit(link, setup["person"], setup["redirectUri"])
    # The library's own check of the ID token fails for any DPoP token: it makes a second one without its key.
    check = "dpop" not in more
    return oauth, oauth.authorization_code(asked.validate_callback(back), validate=check)


def refused(oauth, token):
    try:
        oauth.refresh_token(token)
    except InvalidGrant:
        return
    raise AssertionError("a dead refresh token was accepted")


def code_and_refresh(setup):
    oauth, tokens = log_in(setup, setup["clients"]["web"])
    person = oauth.userinfo(tokens)
    assert person["sub"] == tokens.id_token.sub, person
    renewed = oauth.refresh_token(tokens)
    assert renewed.refresh_token != tokens.refresh_token, "it did not rotate"
    oauth.userinfo(renewed)


def public_client(setup):
    oauth, tokens = log_in(setup, setup["clients"]["app"])
    assert oauth.refresh_token(tokens).refresh_token != tokens.refresh_token


def pushed_request(setup):
    for client in ("web", "app"):
        log_in(setup, setup["clients"][client], par=True)


def introspection_and_revocation(setup):
    oauth, tokens = log_in(setup, setup["clients"]["web"])
    assert oauth.introspect_token(tokens)["active"]
    assert oauth.introspect_token(tokens.refresh_token, "refresh_token")["active"]
    assert oauth.revoke_access_token(tokens)
    assert not oauth.introspect_token(tokens)["active"]
    assert oauth.revoke_refresh_token(tokens)
    assert not oauth.introspect_token(tokens.refresh_token)["active"]
    refused(oauth, tokens.refresh_token)


def device_flow(setup):
    oauth = client_of(setup, setup["clients"]["app"])
    device, other = (oauth.authorize_device(scope=setup["scope"]) for _ in range(2))
    try:
        oauth.device_code(other)
        raise AssertionError("nobody has agreed yet")
    except AuthorizationPending:
        pass
    visit(device.verification_uri_complete, setup["person"])
    assert oauth.device_code(device).refresh_token


def client_credentials(setup):
    oauth = client_of(setup, setup["clients"]["web"])
    assert oauth.client_credentials(scope="orders").access_token


def dpop(setup):
    for par in (False, True):
        oauth, tokens = log_in(setup, setup["clients"]["app"], par=par, dpop=True)
        assert isinstance(tokens, DPoPToken), tokens
        answer = requests.get(f"{setup['issuer']}/userinfo", auth=tokens, timeout=30)
        assert answer.status_code == 200, answer.text
        renewed = oauth.refresh_token(tokens)
        assert isinstance(renewed, DPoPToken), renewed
        stolen = requests.get(
            f"{setup['issuer']}/userinfo",
            headers={"Authorization": f"Bearer {renewed.access_token}"},
            timeout=30,
        )
        assert stolen.status_code == 401, stolen.text


def dpop_other_algorithms(setup):
    for alg in ("ES384", "EdDSA", "RS256", "PS256"):
        key = DPoPKey.generate(alg=alg)
        _, tokens = log_in(setup, setup["clients"]["app"], dpop=True, dpop_key=key)
        answer = requests.get(f"{setup['issuer']}/userinfo", auth=tokens, timeout=30)
        assert answer.status_code == 200, answer.text


FLOWS = {
    "code + PKCE, userinfo, refresh with rotation": code_and_refresh,
    "public client": public_client,
    "pushed request": pushed_request,
    "introspection and revocation": introspection_and_revocation,
    "device flow": device_flow,
    "client credentials": client_credentials,
    "DPoP, also with a pushed request": dpop,
    "DPoP with other algorithms": dpop_other_algorithms,
}
