// Requests that are wrong in one point each, as plain HTTP: what the answers say is compared with the oracle's.

import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as oidc from 'openid-client';
import { check } from './world.mjs';

export const name = 'plain HTTP';

const DISCOVERY = '/.well-known/openid-configuration';
const basic = ({ id, secret }) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

class Prober {
  constructor(world) {
    this.world = world;
  }

  static async start(world) {
    const prober = new Prober(world);
    await world.fetch(world.issuer + DISCOVERY);
    return prober;
  }

  url(place) {
    return this.world.metadata[`${place}_endpoint`];
  }

  // A request to an endpoint; as the confidential client unless `client` says otherwise.
  async ask(step, place, form, { client = this.world.clients.web, headers = {}, method = 'POST', body } = {}) {
    const { world } = this;
    world.step = step;
    const auth = client?.secret ? { authorization: basic(client) } : {};
    const fields = client && !client.secret ? { client_id: client.id, ...form } : form;
    const sent = body ?? (method === 'GET' || !fields ? undefined : new URLSearchParams(fields));
    const answer = await world.fetch(URL.canParse(place) ? place : this.url(place), {
      method,
      headers: { ...auth, ...headers },
      body: sent,
      redirect: 'manual',
    });
    return answer;
  }

  token(step, form, options) {
    return this.ask(step, 'token', form, options);
  }

  async link(change = {}, client = this.world.clients.web) {
    const { world } = this;
    this.verifier = oidc.randomPKCECodeVerifier();
    const asked = {
      client_id: client.id,
      response_type: 'code',
      redirect_uri: world.redirectUri,
      scope: world.scope,
      prompt: 'consent',
      state: 'a state',
      code_challenge: await oidc.calculatePKCECodeChallenge(this.verifier),
      code_challenge_method: 'S256',
      ...change,
    };
    const kept = Object.entries(asked).filter(([, value]) => value !== undefined);
    return `${this.url('authorization')}?${new URLSearchParams(kept)}`;
  }

  async code(change, client) {
    this.world.step = 'login';
    const back = await this.world.logIn(await this.link(change, client));
    return {
      grant_type: 'authorization_code',
      code: back.searchParams.get('code'),
      redirect_uri: this.world.redirectUri,
      code_verifier: this.verifier,
    };
  }

  async tokens(change, client = this.world.clients.web, headers) {
    const answer = await this.token('code', await this.code(change, client), { client, headers });
    check(answer.ok, `no tokens: ${answer.status}`);
    return answer.json();
  }

  // An authorization request that ends before anybody logs in.
  async authorize(step, change, client) {
    const { world } = this;
    world.step = step;
    const answer = await fetch(await this.link(change, client), { redirect: 'manual', headers: { accept: 'text/html' } });
    const location = answer.headers.get('location');
    if (location?.startsWith(world.redirectUri)) world.noteRedirect({ url: location, status: answer.status });
    else world.record.push({ step, place: 'login page', status: answer.status, error: '', headers: [], fields: [] });
  }
}

async function proof(world, key, change = {}, header = {}) {
  const jwk = await exportJWK(key.publicKey);
  const claims = {
    jti: crypto.randomUUID(),
    htm: 'POST',
    htu: world.metadata.token_endpoint,
    iat: Math.floor(Date.now() / 1000),
    ...change,
  };
  return new SignJWT(claims).setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header }).sign(key.privateKey);
}

export const flows = {
  async 'token endpoint: requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const good = { grant_type: 'client_credentials', scope: 'orders' };
    const { web, app, poster } = world.clients;
    await prober.token('no body', undefined, { body: '' });
    const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(good) };
    await prober.token('a JSON body', undefined, json);
    await prober.token('no grant_type', { scope: 'orders' });
    await prober.token('unknown grant_type', { ...good, grant_type: 'magic' });
    await prober.token('grant_type twice', undefined, {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials&grant_type=client_credentials',
    });
    await prober.token('wrong secret', good, { client: { ...web, secret: 'wrong' } });
    await prober.token('wrong secret in the body', { ...good, client_id: poster.id, client_secret: 'wrong' }, { client: null });
    await prober.token('unknown client', good, { client: { id: 'nobody', secret: 'x' } });
    await prober.token('no client', good, { client: null });
    await prober.token('two proofs', { ...good, client_id: web.id, client_secret: web.secret });
    await prober.token('confidential client without proof', { ...good, client_id: web.id }, { client: null });
    await prober.token('client credentials of a public client', good, { client: app });
    await prober.token('scope that is not registered', { ...good, scope: 'admins' });
    await prober.token('grant that is not registered', { grant_type: 'password', username: 'a', password: 'b' });
    await prober.token('GET', undefined, { method: 'GET' });
  },

  async 'token endpoint: codes that do not fit'(world) {
    const prober = await Prober.start(world);
    const { app } = world.clients;
    const code = () => prober.code();
    await prober.token('unknown code', { ...(await code()), code: 'unknown' });
    await prober.token('no code', { ...(await code()), code: '' });
    await prober.token('wrong verifier', { ...(await code()), code_verifier: 'x'.repeat(43) });
    await prober.token('short verifier', { ...(await code()), code_verifier: 'x' });
    await prober.token('no verifier', { ...(await code()), code_verifier: '' });
    await prober.token('another redirect_uri', { ...(await code()), redirect_uri: 'http://127.0.0.1:1/cb' });
    await prober.token('no redirect_uri', { ...(await code()), redirect_uri: '' });
    await prober.token("another client's code", await code(), { client: app });
  },

  async 'token endpoint: refresh tokens that do not fit'(world) {
    const prober = await Prober.start(world);
    const { app } = world.clients;
    const refresh = (token, more) => ({ grant_type: 'refresh_token', refresh_token: token, ...more });
    await prober.token('unknown refresh token', refresh('unknown'));
    await prober.token('no refresh token', refresh(''));
    const tokens = await prober.tokens();
    await prober.token('an access token as refresh token', refresh(tokens.access_token));
    await prober.token('refresh for a wider scope', refresh(tokens.refresh_token, { scope: 'openid admins' }));
    await prober.token('refresh for a narrower scope', refresh(tokens.refresh_token, { scope: 'openid offline_access' }));
    const others = await prober.tokens();
    await prober.token("another client's refresh token", refresh(others.refresh_token), { client: app });
  },

  async 'DPoP proofs that do not fit'(world) {
    const prober = await Prober.start(world);
    const key = await generateKeyPair('ES256');
    const good = { grant_type: 'client_credentials', scope: 'orders' };
    const ask = (step, dpop) => prober.token(step, good, { headers: { dpop } });
    const now = Math.floor(Date.now() / 1000);
    await ask('no JWT as proof', 'x');
    await ask('proof for another method', await proof(world, key, { htm: 'GET' }));
    await ask('proof for another address', await proof(world, key, { htu: 'https://other.example/token' }));
    await ask('old proof', await proof(world, key, { iat: now - 3600 }));
    await ask('proof without jti', await proof(world, key, { jti: undefined }));
    await ask('proof of another type', await proof(world, key, {}, { typ: 'JWT' }));
    const other = await generateKeyPair('ES256');
    await ask('proof by another key', await proof(world, { publicKey: other.publicKey, privateKey: key.privateKey }));
    const twice = await proof(world, key);
    await ask('proof', twice);
    await ask('proof again', twice);
    const jwk = await exportJWK(key.publicKey);
    world.step = 'code of another key';
    const bound = await prober.code({ dpop_jkt: await calculateJwkThumbprint(jwk) });
    await prober.token('code without its proof', bound);
  },

  async 'userinfo: requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const { access_token: access } = await prober.tokens();
    const { access_token: narrow } = await prober.tokens({ scope: 'orders offline_access' });
    const about = (step, authorization, more) =>
      prober.ask(step, 'userinfo', undefined, { client: null, method: 'GET', headers: authorization ? { authorization } : {}, ...more });
    await about('no token', '');
    await about('unknown token', 'Bearer unknown');
    await about('another scheme', `Token ${access}`);
    await about('no scope openid', `Bearer ${narrow}`);
    await about('DPoP scheme for a plain token', `DPoP ${access}`);
    await about('by POST', `Bearer ${access}`, { method: 'POST' });
    await prober.ask('token in the body', 'userinfo', { access_token: access }, { client: null });
    await about('two tokens', `Bearer ${access}`, { method: 'POST', body: new URLSearchParams({ access_token: access }) });
  },

  async 'introspection and revocation: requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const { web, poster, app } = world.clients;
    const tokens = await prober.tokens();
    for (const place of ['introspection', 'revocation']) {
      await prober.ask('no client', place, { token: tokens.access_token }, { client: null });
      await prober.ask('wrong secret', place, { token: tokens.access_token }, { client: { ...web, secret: 'x' } });
      await prober.ask('no token', place, {});
      await prober.ask('unknown token', place, { token: 'unknown' });
      await prober.ask('unknown token_type_hint', place, { token: 'unknown', token_type_hint: 'magic' });
      await prober.ask('wrong token_type_hint', place, { token: tokens.access_token, token_type_hint: 'refresh_token' });
    }
    const others = await prober.tokens();
    await prober.ask('by a public client', 'introspection', { token: others.access_token }, { client: app });
    const poster_ = { client_id: poster.id, client_secret: poster.secret };
    await prober.ask("another client's refresh token", 'introspection', { ...poster_, token: others.refresh_token }, { client: null });
    await prober.ask("another client's refresh token", 'revocation', { token: others.refresh_token }, { client: app });
    await prober.ask('by GET', 'introspection', undefined, { method: 'GET' });
  },

  async 'pushed requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const push = async (step, change, options) => {
      const asked = Object.fromEntries(new URL(await prober.link(change)).searchParams);
      return prober.ask(step, 'pushed_authorization_request', asked, options);
    };
    await push('no client', { client_id: undefined }, { client: null });
    await push('wrong secret', {}, { client: { ...world.clients.web, secret: 'x' } });
    await push('redirect_uri that is not registered', { redirect_uri: 'https://other.example/cb' });
    await push('no response_type', { response_type: undefined });
    await push('unknown response_type', { response_type: 'magic' });
    await push('scope that is not registered', { scope: 'openid admins' });
    await push('no PKCE', { code_challenge: undefined, code_challenge_method: undefined });
    await push('PKCE plain', { code_challenge_method: 'plain' });
    await push('request_uri', { request_uri: 'urn:x' });
    await push("another client's client_id", { client_id: world.clients.app.id });
  },

  async 'authorization requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const other = 'https://other.example/cb';
    await prober.authorize('unknown client', { client_id: 'nobody' });
    await prober.authorize('redirect_uri that is not registered', { redirect_uri: other });
    await prober.authorize('no response_type', { response_type: undefined });
    await prober.authorize('unknown response_type', { response_type: 'magic' });
    await prober.authorize('response_type token', { response_type: 'token' });
    await prober.authorize('response_mode fragment', { response_mode: 'fragment' });
    await prober.authorize('unknown response_mode', { response_mode: 'magic' });
    await prober.authorize('scope that is not registered', { scope: 'openid admins' });
    await prober.authorize('no PKCE', { code_challenge: undefined, code_challenge_method: undefined });
    await prober.authorize('PKCE without a method', { code_challenge_method: undefined });
    await prober.authorize('PKCE plain', { code_challenge_method: 'plain' });
    await prober.authorize('short code_challenge', { code_challenge: 'x' });
    await prober.authorize('prompt none', { prompt: 'none' });
    await prober.authorize('prompt none and login', { prompt: 'none login' });
    await prober.authorize('unknown prompt', { prompt: 'magic' });
    await prober.authorize('max_age that is no number', { max_age: 'x' });
    await prober.authorize('unknown request_uri', { request_uri: 'urn:ietf:params:oauth:request_uri:x' });
    await prober.authorize('request object', { request: 'x.y.z' });
    await prober.authorize('claims that are no JSON', { claims: '{' });
    await prober.authorize('unknown acr_values', { acr_values: 'urn:x' });
    await prober.authorize('id_token_hint that is no token', { id_token_hint: 'x' });
  },

  async 'device flow: requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const { app } = world.clients;
    const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code' };
    await prober.ask('no client', 'device_authorization', {}, { client: null });
    await prober.ask('unknown client', 'device_authorization', {}, { client: { id: 'nobody' } });
    await prober.ask('scope that is not registered', 'device_authorization', { scope: 'admins' }, { client: app });
    await prober.token('unknown device_code', { ...grant, device_code: 'unknown' }, { client: app });
    await prober.token('no device_code', grant, { client: app });
    const begun = await prober.ask('device', 'device_authorization', { scope: world.scope }, { client: app });
    const { device_code: code } = await begun.json();
    await prober.token("another client's device_code", { ...grant, device_code: code });
  },

  async 'RP-initiated logout: requests that are wrong'(world) {
    const prober = await Prober.start(world);
    const { id_token: hint } = await prober.tokens();
    const leave = async (step, asked) => {
      const answer = await fetch(`${prober.url('end_session')}?${new URLSearchParams(asked)}`, { redirect: 'manual' });
      world.record.push({ step, place: 'logout page', status: answer.status, error: '', headers: [], fields: [] });
    };
    await leave('no hint', {});
    await leave('hint that is no token', { id_token_hint: 'x' });
    await leave('another address to return to', { id_token_hint: hint, post_logout_redirect_uri: 'https://other.example/' });
    await leave("another client's hint", { id_token_hint: hint, client_id: world.clients.app.id });
  },

  async 'what browsers and caches ask'(world) {
    const prober = await Prober.start(world);
    const origin = { origin: 'https://app.example' };
    const get = (step, url, headers) => prober.ask(step, url, undefined, { client: null, method: 'GET', headers });
    await get('from another origin', world.issuer + DISCOVERY, origin);
    await get('from another origin', world.metadata.jwks_uri, origin);
    await get('unknown path', `${world.issuer}/unknown`, {});
    await prober.ask('HEAD', world.metadata.jwks_uri, undefined, { client: null, method: 'HEAD' });
    const preflight = { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' };
    await prober.ask('preflight', 'token', undefined, { client: null, method: 'OPTIONS', headers: preflight });
  },
};
