"""PyPI PyJWT: an API that trusts the issuer's key set."""

import jwt

import oauth2client_flows

NAME = "PyJWT"


def tokens_and_key(setup, kind):
    _, tokens = oauth2client_flows.log_in(setup, setup["clients"]["app"])
    token = tokens.access_token if kind == "access" else str(tokens.id_token)
    keys = jwt.PyJWKClient(f"{setup['issuer']}/jwks.json")
    return token, keys.get_signing_key_from_jwt(token)


def refused(kind, decode):
    try:
        decode()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


def verify(setup, kind, audience):
    token, key = tokens_and_key(setup, kind)
    rules = {"algorithms": [setup["alg"]], "issuer": setup["issuer"], "audience": audience}
    claims = jwt.decode(token, key, options={"require": ["exp", "iat", "sub", "aud", "iss"]}, **rules)
    assert claims["iss"] == setup["issuer"], claims
    refused(jwt.InvalidAudienceError, lambda: jwt.decode(token, key, **rules | {"audience": "x"}))
    refused(jwt.InvalidIssuerError, lambda: jwt.decode(token, key, **rules | {"issuer": "x"}))
    head, body, mark = token.split(".")
    # The first character holds six whole bits of the signature; the last one does not.
    forged = f"{head}.{body}.{'B' if mark[0] == 'A' else 'A'}{mark[1:]}"
    refused(jwt.InvalidSignatureError, lambda: jwt.decode(forged, key, **rules))


FLOWS = {
    "ID token by the key set": lambda setup: verify(setup, "id", setup["clients"]["app"]["id"]),
    "access token by the key set": lambda setup: verify(setup, "access", setup["audience"]),
}
