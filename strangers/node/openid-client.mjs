// npm openid-client: the flows as an application would write them.

import * as oidc from 'openid-client';
import { check, refused } from './world.mjs';

export const name = 'openid-client';

async function discover(world, client, secret = oidc.ClientSecretBasic) {
  const auth = client.secret ? secret(client.secret) : oidc.None();
  const config = await oidc.discovery(new URL(world.issuer), client.id, { redirect_uris: [world.redirectUri] }, auth, {
    [oidc.customFetch]: world.fetch,
    execute: [oidc.allowInsecureRequests],
  });
  return config;
}

async function logIn(world, config, { dpop, par } = {}) {
  world.step = par ? 'pushed request' : 'login';
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const asked = {
    redirect_uri: world.redirectUri,
    scope: world.scope,
    prompt: 'consent',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  };
  const link = par
    ? await oidc.buildAuthorizationUrlWithPAR(config, asked, { DPoP: dpop })
    : oidc.buildAuthorizationUrl(config, asked);
  check(!par || link.searchParams.has('request_uri'), 'the request was not handed in beforehand');
  const back = await world.logIn(link);
  world.step = 'code';
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  const tokens = await oidc.authorizationCodeGrant(config, back, checks, undefined, { DPoP: dpop });
  world.noteClaims('id_token', tokens.claims());
  check(tokens.refresh_token, 'there is no refresh token');
  return tokens;
}

async function renew(world, config, tokens, dpop) {
  world.step = 'refresh';
  const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: dpop });
  check(renewed.refresh_token && renewed.refresh_token !== tokens.refresh_token, 'the refresh token did not rotate');
  check(renewed.access_token !== tokens.access_token, 'the access token is the old one');
  return renewed;
}

async function about(world, config, tokens, dpop) {
  world.step = 'userinfo';
  const person = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP: dpop });
  check(person.preferred_username === world.person.name, `userinfo says ${JSON.stringify(person)}`);
}

export const flows = {
  async 'code + PKCE, userinfo, refresh with rotation'(world) {
    const config = await discover(world, world.clients.web);
    const tokens = await logIn(world, config);
    await about(world, config, tokens);
    const renewed = await renew(world, config, tokens);
    check(renewed.claims() === undefined || renewed.claims().sub === tokens.claims().sub, 'another subject');
    await about(world, config, { ...renewed, claims: () => tokens.claims() });
    await renew(world, config, renewed);
  },

  async 'public client'(world) {
    const config = await discover(world, world.clients.app);
    const tokens = await logIn(world, config);
    await renew(world, config, tokens);
  },

  async 'introspection and revocation'(world) {
    const config = await discover(world, world.clients.web);
    const tokens = await logIn(world, config);
    world.step = 'introspect access';
    const access = await oidc.tokenIntrospection(config, tokens.access_token);
    check(access.active && access.client_id === world.clients.web.id, JSON.stringify(access));
    world.step = 'introspect refresh';
    const refresh = await oidc.tokenIntrospection(config, tokens.refresh_token);
    check(refresh.active, JSON.stringify(refresh));
    world.step = 'revoke';
    await oidc.tokenRevocation(config, tokens.refresh_token);
    world.step = 'introspect revoked';
    check(!(await oidc.tokenIntrospection(config, tokens.refresh_token)).active, 'a revoked token is active');
    world.step = 'refresh revoked';
    await refused(oidc.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant');
  },

  async 'device flow'(world) {
    const config = await discover(world, world.clients.app);
    world.step = 'device';
    const device = await oidc.initiateDeviceAuthorization(config, { scope: world.scope, prompt: 'consent' });
    await world.approve(device.verification_uri_complete);
    const tokens = await oidc.pollDeviceAuthorizationGrant(config, device);
    check(tokens.access_token && tokens.refresh_token, JSON.stringify(tokens));
    await about(world, config, tokens);
  },

  async 'client credentials'(world) {
    for (const secret of [oidc.ClientSecretBasic, oidc.ClientSecretPost]) {
      const client = secret === oidc.ClientSecretBasic ? world.clients.web : world.clients.poster;
      const config = await discover(world, client, secret);
      world.step = 'client credentials';
      const tokens = await oidc.clientCredentialsGrant(config, { scope: 'orders' });
      check(tokens.access_token && !tokens.refresh_token, JSON.stringify(tokens));
    }
  },

  async 'pushed request'(world) {
    const config = await discover(world, world.clients.web);
    await logIn(world, config, { par: true });
  },

  async DPoP(world) {
    const config = await discover(world, world.clients.app);
    const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
    const tokens = await logIn(world, config, { dpop });
    check(tokens.token_type === 'dpop', `token_type ${tokens.token_type}`);
    await about(world, config, tokens, dpop);
    const renewed = await renew(world, config, tokens, dpop);
    world.step = 'refresh with another key';
    const other = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
    await refused(oidc.refreshTokenGrant(config, renewed.refresh_token, undefined, { DPoP: other }), 'invalid_grant');
    world.step = 'bound token as bearer';
    await refused(oidc.fetchUserInfo(config, renewed.access_token, oidc.skipSubjectCheck), 'invalid_token');
  },

  async 'pushed request with DPoP'(world) {
    const config = await discover(world, world.clients.app);
    const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
    await logIn(world, config, { dpop, par: true });
  },

  async 'RP-initiated logout'(world) {
    const config = await discover(world, world.clients.web);
    const tokens = await logIn(world, config);
    world.step = 'logout';
    const link = oidc.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: world.logoutUri,
      state: 'after',
    });
    const back = await world.browser().visit(link, { until: world.logoutUri });
    check(back.url.searchParams.get('state') === 'after', `the logout ended at ${back.url}: ${back.text}`);
    world.noteRedirect(back);
    if (world.logoutEndsSession) {
      await refused(oidc.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant');
    }
  },
};
