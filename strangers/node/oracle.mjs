// npm oidc-provider, set up like the issuer: what both answer to the same scripts is compared.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { Provider } from 'oidc-provider';

// The library warns of what is meant here: a provider for a test.
const quiet = () => {
  console.warn = () => {};
  console.info = () => {};
};

function client({ id, secret }, setup, more) {
  return {
    client_id: id,
    ...(secret && { client_secret: secret }),
    token_endpoint_auth_method: secret ? 'client_secret_basic' : 'none',
    application_type: 'native',
    redirect_uris: [setup.redirectUri],
    post_logout_redirect_uris: [setup.logoutUri],
    grant_types: [
      'authorization_code',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
      ...(secret ? ['client_credentials'] : []),
    ],
    response_types: ['code'],
    id_token_signed_response_alg: setup.alg,
    scope: setup.scope,
    ...more,
  };
}

function configuration(setup) {
  const { web, app, poster } = setup.clients;
  return {
    clients: [
      client(web, setup),
      client(poster, setup, { token_endpoint_auth_method: 'client_secret_post' }),
      client(app, setup),
    ],
    scopes: setup.scope.split(' '),
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: id, preferred_username: id }),
    }),
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    responseTypes: ['code'],
    ttl: { AccessToken: 300, ClientCredentials: 300, IdToken: 300, Interaction: 600, Session: 600, Grant: 600, DeviceCode: 600 },
    cookies: { keys: ['a test'] },
    jwks: { keys: [setup.oracleKey] },
  };
}

// Runs `work` with the set-up that leads the scripts to the oracle.
export async function withOracle(setup, work) {
  quiet();
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration(setup));
  server.on('request', provider.callback());
  try {
    return await work({ ...setup, issuer, audience: undefined, logoutEndsSession: false, oauthMetadata: false });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

const group = ({ place, status }) => `${place} ${Math.floor(status / 100)}xx`;

// The answers of one flow by step: a request more in one step must not shift the others.
function steps(record) {
  const found = new Map();
  for (const answer of record) {
    const step = answer.step || 'start';
    found.set(step, [...(found.get(step) ?? []), answer]);
  }
  return found;
}

// Differences as short sentences: `here` is the issuer, `there` the oracle.
export function differences(here, there) {
  const found = new Set();
  const sets = (kind, one, other, where) => {
    for (const item of one) if (!other.includes(item)) found.add(`${where}: ${kind} ${item} only here`);
    for (const item of other) if (!one.includes(item)) found.add(`${where}: ${kind} ${item} only there`);
  };
  for (const [flow, record] of here) {
    const [ours, theirs] = [steps(record), steps(there.get(flow))];
    for (const step of new Set([...ours.keys(), ...theirs.keys()])) {
      const [one, other] = [ours.get(step) ?? [], theirs.get(step) ?? []];
      for (let index = 0; index < Math.max(one.length, other.length); index += 1) {
        const [our, their] = [one[index], other[index]];
        if (our?.place !== their?.place) {
          found.add(`${step}: ${our?.place ?? 'nothing'} here, ${their?.place ?? 'nothing'} there`);
          break;
        }
        const at = `${our.place}, ${step}`;
        if (our.status !== their.status) found.add(`${at}: status ${our.status} here, ${their.status} there`);
        if (our.error !== their.error) {
          found.add(`${at}: error ${our.error || 'none'} here, ${their.error || 'none'} there`);
        }
        if (group(our) === group(their) && our.error === their.error) {
          sets('header', our.headers, their.headers, group(our));
          sets('field', our.fields, their.fields, group(our));
        }
      }
    }
  }
  return [...found].sort();
}

// What `differences.md` explains: the lines of its lists, in which `*` stands for any endpoint.
export function explained(text) {
  return [...text.matchAll(/^- `([^`]+)`$/gm)].map(([, line]) => {
    const exact = line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\*", ".*");
    return { line, fits: new RegExp(`^${exact}$`) };
  });
}
