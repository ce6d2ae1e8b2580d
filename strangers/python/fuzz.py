"""`python fuzz.py SETUP.json OPENAPI.json ADMIN-OPENAPI.json`: schemathesis against the running issuer. Whatever it sends, no answer is a
5xx. One line of JSON on stdout for each run: client, flow, problem."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import oauth2client_flows

EXAMPLES = 40
SECONDS = 60


def fuzz(base, path, document, flow, authorization, only=(), never=()):
    program = Path(sys.executable).parent / "schemathesis"
    command = [str(program), "run", document, "--url", base]
    command += ["--checks", "not_a_server_error", "--max-examples", str(EXAMPLES)]
    command += ["--request-timeout", "10", "--no-color", "-H", f"Authorization: {authorization}"]
    for include in only:
        command += ["--include-path", include]
    for exclude in never:
        command += ["--exclude-path", exclude]
    here = Path(__file__).parent
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "STRANGERS_SETUP": path, "PYTHONPATH": str(here)}
    problem = None
    try:
        ran = subprocess.run(
            command, env=environment, cwd=here, capture_output=True, text=True, timeout=SECONDS
        )
        if ran.returncode != 0 or "passed" not in ran.stdout:
            problem = ran.stdout + ran.stderr
    except subprocess.TimeoutExpired as late:
        problem = f"not done after {SECONDS} s: {late.stdout}"
    print(json.dumps({"client": "schemathesis", "flow": flow, "problem": problem}), flush=True)


def main(path, document, admin_document):
    setup = json.loads(Path(path).read_text())
    web = setup["clients"]["web"]
    secret = base64.b64encode(f"{web['id']}:{web['secret']}".encode()).decode()
    base = setup["issuer"]
    fuzz(base, path, document, "no 500 at any endpoint", f"Basic {secret}")
    _, tokens = oauth2client_flows.log_in(setup, web)
    bearer = f"Bearer {tokens.access_token}"
    fuzz(base, path, document, "no 500 with an access token", bearer, ["/userinfo", "/introspect"])
    # Last, for it does what it is told to. It must not end its own token.
    admin = setup["admin"]
    bearer = f"Bearer {admin['token']}"
    fuzz(
        admin["url"], path, admin_document, "no 500 for an administrator", bearer, never=["/admin/v1/logout"]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
