// `node run.mjs SETUP.json`: runs every flow against the issuer that SETUP.json describes. One line of JSON for each on
// stdout: { client, flow, problem }.

import { readFile } from 'node:fs/promises';
import * as jose from './jose.mjs';
import * as oauth4webapi from './oauth4webapi.mjs';
import * as openidClient from './openid-client.mjs';
import { World } from './world.mjs';

const ALL = [openidClient, oauth4webapi, jose];

export async function runAll(setup, told, scripts = ALL) {
  const records = new Map();
  for (const { name, flows } of scripts) {
    for (const [flow, run] of Object.entries(flows)) {
      const world = new World(setup);
      let problem;
      try {
        await run(world);
      } catch (error) {
        problem = `${error.stack}${error.cause ? `\n${JSON.stringify(error.cause)}` : ''}\nlast answer: ${JSON.stringify(world.record.at(-1))}`;
      }
      records.set(`${name}: ${flow}`, world.record);
      told({ client: name, flow, problem });
    }
  }
  return records;
}

if (process.argv[1] === import.meta.filename) {
  const setup = JSON.parse(await readFile(process.argv[2], 'utf8'));
  await runAll(setup, (line) => console.log(JSON.stringify(line)));
}
