// `node compare.mjs SETUP.json`: the same scripts against the issuer and against npm oidc-provider. A difference that
// `differences.md` does not explain is a failure, and so is an explanation of one that is none any more.

import { readFile } from 'node:fs/promises';
import { exportJWK, generateKeyPair } from 'jose';
import * as oauth4webapi from './oauth4webapi.mjs';
import * as openidClient from './openid-client.mjs';
import { differences, explained, withOracle } from './oracle.mjs';
import * as probes from './probes.mjs';
import { runAll } from './run.mjs';

const SCRIPTS = [openidClient, oauth4webapi, probes];
const say = (line) => console.log(JSON.stringify(line));

const setup = JSON.parse(await readFile(process.argv[2], 'utf8'));
const { privateKey } = await generateKeyPair(setup.alg, { extractable: true });
// The oracle serves OpenID's document only.
setup.oauthMetadata = false;
setup.oracleKey = await exportJWK(privateKey);

const failed = (told) => (line) => {
  // What passes was told by the run before.
  if (line.problem || line.client === probes.name) told(line);
};
const [here, there] = await Promise.all([
  runAll(setup, failed(say), SCRIPTS),
  withOracle(setup, (oracle) =>
    runAll(oracle, ({ client, flow, problem }) => {
      if (problem) say({ client, flow: `${flow} (oidc-provider)`, problem });
    }, SCRIPTS),
  ),
]);

const found = differences(here, there);
const known = explained(await readFile(new URL('../differences.md', import.meta.url), 'utf8'));
const unexplained = found.filter((difference) => !known.some(({ fits }) => fits.test(difference)));
const gone = known.filter(({ fits }) => !found.some((difference) => fits.test(difference)));
const problem = [
  ...unexplained.map((difference) => `not explained: ${difference}`),
  ...gone.map(({ line }) => `explained, but no difference any more: ${line}`),
].join('\n');
say({ client: 'oidc-provider', flow: `the same answers, but for ${found.length} explained differences`, problem: problem || undefined });
