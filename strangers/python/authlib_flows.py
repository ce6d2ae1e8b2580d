"""PyPI authlib, with requests and with joserfc for the ID token."""

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from browser import visit

NAME = "authlib"


def metadata(setup):
    return requests.get(f"{setup['issuer']}/.well-known/openid-configuration", timeout=30).json()


def session(setup, client, **more):
    auth = "client_secret_basic" if client["secret"] else "none"
    return OAuth2Session(
        client["id"],
        client["secret"],
        token_endpoint_auth_method=auth,
        revocation_endpoint_auth_method=auth,
        scope=setup["scope"],
        redirect_uri=setup["redirectUri"],
        **more,
    )


def log_in(setup, client):
    found = metadata(setup)
    oauth = session(setup, client, code_challenge_method="S256")
    verifier, nonce = generate_token(48), generate_token(20)
    link, state = oauth.create_authorization_url(
        found["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    back = visit(link, setup["person"], setup["redirectUri"])
    tokens = oauth.fetch_token(
        found["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
    )
    return found, oauth, tokens, nonce


def refused(oauth, found, refresh_token):
    try:
        oauth.refresh_token(found["token_endpoint"], refresh_token=refresh_token)
    except OAuthError as problem:
        assert problem.error == "invalid_grant", problem
        return
    raise AssertionError("a dead refresh token was accepted")


def discovery_documents(setup):
    found = metadata(setup)
    # Discovery section 3 wants RS256 listed always; an issuer that signs otherwise lists what is true.
    algs = [setup["alg"], "RS256"]
    OpenIDProviderMetadata(found | {"id_token_signing_alg_values_supported": algs}).validate()
    assert found["id_token_signing_alg_values_supported"] == [setup["alg"]], found
    url = f"{setup['issuer']}/.well-known/oauth-authorization-server"
    AuthorizationServerMetadata(requests.get(url, timeout=30).json()).validate()


def code_and_refresh(setup):
    found, oauth, tokens, nonce = log_in(setup, setup["clients"]["web"])
    keys = KeySet.import_key_set(requests.get(found["jwks_uri"], timeout=30).json())
    id_token = jwt.decode(tokens["id_token"], keys, algorithms=[setup["alg"]])
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": setup["issuer"]},
        aud={"essential": True, "value": setup["clients"]["web"]["id"]},
        nonce={"essential": True, "value": nonce},
    )
    registry.validate(id_token.claims)
    person = oauth.get(found["userinfo_endpoint"]).json()
    assert person["sub"] == id_token.claims["sub"], person
    renewed = oauth.refresh_token(found["token_endpoint"])
    assert renewed["refresh_token"] != tokens["refresh_token"], "it did not rotate"
    assert oauth.get(found["userinfo_endpoint"]).status_code == 200


def public_client(setup):
    found, oauth, tokens, _ = log_in(setup, setup["clients"]["app"])
    renewed = oauth.refresh_token(found["token_endpoint"])
    assert renewed["refresh_token"] != tokens["refresh_token"], "it did not rotate"


def introspection_and_revocation(setup):
    found, oauth, tokens, _ = log_in(setup, setup["clients"]["web"])
    look = lambda kind: oauth.introspect_token(
        found["introspection_endpoint"], token=tokens[kind], token_type_hint=kind
    ).json()
    assert look("access_token")["active"] and look("refresh_token")["active"]
    oauth.revoke_token(found["revocation_endpoint"], token=tokens["refresh_token"]).raise_for_status()
    assert not look("refresh_token")["active"] and not look("access_token")["active"]
    refused(oauth, found, tokens["refresh_token"])


def device_flow(setup):
    found, client = metadata(setup), setup["clients"]["app"]
    asked = {"client_id": client["id"], "scope": setup["scope"]}
    device = requests.post(found["device_authorization_endpoint"], data=asked, timeout=30).json()
    visit(device["verification_uri_complete"], setup["person"])
    tokens = session(setup, client).fetch_token(
        found["token_endpoint"], grant_type=DEVICE_CODE_GRANT_TYPE, device_code=device["device_code"]
    )
    assert tokens["refresh_token"], tokens


def client_credentials(setup):
    found, client = metadata(setup), setup["clients"]["web"]
    for method in ("client_secret_basic", "client_secret_post"):
        oauth = OAuth2Session(
            client["id"], client["secret"], token_endpoint_auth_method=method, scope="orders"
        )
        tokens = oauth.fetch_token(found["token_endpoint"], grant_type="client_credentials")
        assert "refresh_token" not in tokens, tokens


FLOWS = {
    "discovery documents": discovery_documents,
    "code + PKCE, userinfo, refresh with rotation": code_and_refresh,
    "public client": public_client,
    "introspection and revocation": introspection_and_revocation,
    "device flow": device_flow,
    "client credentials": client_credentials,
}
