"""What schemathesis invents is often refused at the door; three times in four the door is opened."""

import json
import os
import zlib
from pathlib import Path

import schemathesis

SETUP = json.loads(Path(os.environ["STRANGERS_SETUP"]).read_text())
PROOFS = ("client_secret", "client_assertion", "client_assertion_type")
GOOD = {
    "client_id": SETUP["clients"]["web"]["id"],
    "redirect_uri": SETUP["redirectUri"],
    "post_logout_redirect_uri": SETUP["logoutUri"],
    "response_type": "code",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
    "username": SETUP["person"]["name"],
}


def opened(values):
    if not isinstance(values, dict) or zlib.crc32(repr(values).encode()) % 4 == 0:
        return values
    kept = {name: value for name, value in values.items() if name not in PROOFS}
    return kept | {name: value for name, value in GOOD.items() if name in kept}


@schemathesis.hook
def map_body(context, body):
    return opened(body)


@schemathesis.hook
def map_query(context, query):
    return opened(query)
