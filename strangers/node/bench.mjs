// `node bench.mjs SESSIONS`: npm oidc-provider with everything in memory, public client `app`, rotating refresh tokens and
// ES256 access tokens; SESSIONS sessions are begun. Writes one line of JSON: port, tokens. Ends when stdin does.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

console.warn = () => {};
console.info = () => {};

const API = 'https://api.example';
const store = new Map();

// The library's own example store forgets the oldest of a thousand.
class Memory {
  constructor(model) {
    this.model = model;
  }
  key(id) {
    return `${this.model}:${id}`;
  }
  async upsert(id, payload) {
    store.set(this.key(id), payload);
  }
  async find(id) {
    return store.get(this.key(id));
  }
  async findByUid(uid) {
    return store.get(this.key(uid));
  }
  async findByUserCode() {
    return undefined;
  }
  async consume(id) {
    store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    store.delete(this.key(id));
  }
  async revokeByGrantId() {}
}

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: [
    {
      client_id: 'app',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => API,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'orders',
        audience: API,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  cookies: { keys: ['a measurement'] },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'k' }] },
  ttl: { AccessToken: 300, RefreshToken: 86400, Grant: 86400 },
});
server.on('request', provider.callback());

const client = await provider.Client.find('app');
const tokens = [];
for (let i = 0; i < Number(process.argv[2]); i += 1) {
  const grant = new provider.Grant({ accountId: 'ada', clientId: 'app' });
  grant.addResourceScope(API, 'orders');
  const token = new provider.RefreshToken({
    client,
    accountId: 'ada',
    grantId: await grant.save(),
    gty: 'authorization_code',
    scope: 'orders offline_access',
    resource: API,
    authTime: Math.floor(Date.now() / 1000),
    iiat: Math.floor(Date.now() / 1000),
    rotations: 0,
    expiresWithSession: false,
  });
  tokens.push(await token.save());
}
console.log(JSON.stringify({ port, tokens }));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
