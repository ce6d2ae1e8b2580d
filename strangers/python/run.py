"""`python run.py SETUP.json`: runs every flow against the issuer that SETUP.json describes. One line of JSON for each
on stdout: client, flow, problem."""

import json
import sys
import traceback
from pathlib import Path

import authlib_flows
import oauth2client_flows
import pyjwt_flows


def main(path):
    setup = json.loads(Path(path).read_text())
    for script in (authlib_flows, oauth2client_flows, pyjwt_flows):
        for flow, run in script.FLOWS.items():
            problem = None
            try:
                run(setup)
            except Exception:  # noqa: BLE001 - whatever it is, it is this flow's result
                problem = traceback.format_exc()
            line = {"client": script.NAME, "flow": flow, "problem": problem}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
