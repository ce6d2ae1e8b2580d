// npm oauth4webapi: every request and every check of an answer by itself.

import * as oauth from 'oauth4webapi';
import { check, refused } from './world.mjs';

export const name = 'oauth4webapi';

class App {
  constructor(world, client) {
    this.world = world;
    this.client = { client_id: client.id };
    this.auth = client.secret ? oauth.ClientSecretBasic(client.secret) : oauth.None();
    this.options = { [oauth.customFetch]: world.fetch, [oauth.allowInsecureRequests]: true };
  }

  static async start(world, client) {
    const app = new App(world, client);
    for (const algorithm of ['oauth2', 'oidc']) {
      const url = new URL(world.issuer);
      if (algorithm === 'oauth2' && !world.oauthMetadata) continue;
      world.step = algorithm;
      const answer = await oauth.discoveryRequest(url, { ...app.options, algorithm });
      app.server = await oauth.processDiscoveryResponse(url, answer);
    }
    return app;
  }

  // A refusal for want of a nonce is tried again, as RFC 9449 section 8 has it.
  async retried(ask) {
    try {
      return await ask();
    } catch (problem) {
      if (!oauth.isDPoPNonceError(problem)) throw problem;
      return ask();
    }
  }

  async newKey() {
    this.dpop = oauth.DPoP(this.client, await oauth.generateKeyPair('ES256'));
    return this.dpop;
  }

  async asked() {
    this.verifier = oauth.generateRandomCodeVerifier();
    this.state = oauth.generateRandomState();
    this.nonce = oauth.generateRandomNonce();
    return new URLSearchParams({
      client_id: this.client.client_id,
      redirect_uri: this.world.redirectUri,
      response_type: 'code',
      scope: this.world.scope,
      prompt: 'consent',
      code_challenge: await oauth.calculatePKCECodeChallenge(this.verifier),
      code_challenge_method: 'S256',
      state: this.state,
      nonce: this.nonce,
    });
  }

  async push(asked) {
    this.world.step = 'pushed request';
    const { server, client, auth, options, dpop } = this;
    const pushed = await this.retried(async () => {
      const answer = await oauth.pushedAuthorizationRequest(server, client, auth, asked, { ...options, DPoP: dpop });
      return oauth.processPushedAuthorizationResponse(server, client, answer);
    });
    return new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
  }

  async redeem(params) {
    const { server, client, auth, options, dpop, verifier, world } = this;
    return this.retried(async () => {
      const answer = await oauth.authorizationCodeGrantRequest(
        server, client, auth, params, world.redirectUri, verifier, { ...options, DPoP: dpop },
      );
      const checks = { expectedNonce: this.nonce, requireIdToken: true };
      return oauth.processAuthorizationCodeResponse(server, client, answer, checks);
    });
  }

  async logIn({ par } = {}) {
    const { world, server, client } = this;
    world.step = 'login';
    let asked = await this.asked();
    if (par) asked = await this.push(asked);
    const back = await world.logIn(`${server.authorization_endpoint}?${asked}`);
    const params = oauth.validateAuthResponse(server, client, back, this.state);
    world.step = 'code';
    const tokens = await this.redeem(params);
    check(tokens.refresh_token, 'there is no refresh token');
    world.noteClaims('id_token', oauth.getValidatedIdTokenClaims(tokens));
    return { params, tokens, sub: oauth.getValidatedIdTokenClaims(tokens).sub };
  }

  async renew(refresh, step = 'refresh') {
    this.world.step = step;
    const { server, client, auth, options, dpop } = this;
    return this.retried(async () => {
      const answer = await oauth.refreshTokenGrantRequest(server, client, auth, refresh, { ...options, DPoP: dpop });
      return oauth.processRefreshTokenResponse(server, client, answer);
    });
  }

  async about(access, sub) {
    this.world.step = 'userinfo';
    const { server, client, options, dpop } = this;
    return this.retried(async () => {
      const answer = await oauth.userInfoRequest(server, client, access, { ...options, DPoP: dpop });
      return oauth.processUserInfoResponse(server, client, sub, answer);
    });
  }

  async introspect(token, step) {
    this.world.step = step;
    const { server, client, auth, options } = this;
    const answer = await oauth.introspectionRequest(server, client, auth, token, options);
    return oauth.processIntrospectionResponse(server, client, answer);
  }

  async revoke(token, step = 'revoke') {
    this.world.step = step;
    const { server, client, auth, options } = this;
    const answer = await oauth.revocationRequest(server, client, auth, token, options);
    return oauth.processRevocationResponse(answer);
  }

  async poll(code) {
    const { server, client, auth, options, dpop } = this;
    return this.retried(async () => {
      const answer = await oauth.deviceCodeGrantRequest(server, client, auth, code, { ...options, DPoP: dpop });
      return oauth.processDeviceCodeResponse(server, client, answer);
    });
  }
}

export const flows = {
  async 'code + PKCE, userinfo, refresh with rotation'(world) {
    const app = await App.start(world, world.clients.web);
    const { tokens, sub } = await app.logIn();
    const person = await app.about(tokens.access_token, sub);
    check(person.preferred_username === world.person.name, `userinfo says ${JSON.stringify(person)}`);
    const renewed = await app.renew(tokens.refresh_token);
    check(renewed.refresh_token !== tokens.refresh_token, 'the refresh token did not rotate');
    await app.about(renewed.access_token, sub);
  },

  async 'a code used twice'(world) {
    const app = await App.start(world, world.clients.web);
    const { params, tokens } = await app.logIn();
    world.step = 'code again';
    await refused(app.redeem(params), 'invalid_grant');
    await refused(app.renew(tokens.refresh_token, 'refresh after code again'), 'invalid_grant');
  },

  async 'a stolen refresh token'(world) {
    const app = await App.start(world, world.clients.web);
    const { tokens } = await app.logIn();
    const second = await app.renew(tokens.refresh_token);
    const third = await app.renew(second.refresh_token);
    await refused(app.renew(tokens.refresh_token, 'refresh with an old one'), 'invalid_grant');
    await refused(app.renew(third.refresh_token, 'refresh of an ended session'), 'invalid_grant');
  },

  async 'introspection and revocation'(world) {
    const app = await App.start(world, world.clients.web);
    const { tokens } = await app.logIn();
    check((await app.introspect(tokens.access_token, 'introspect access')).active, 'a fresh token is not active');
    check((await app.introspect(tokens.refresh_token, 'introspect refresh')).active, 'a fresh token is not active');
    await app.revoke(tokens.access_token, 'revoke access');
    check(!(await app.introspect(tokens.access_token, 'introspect revoked')).active, 'a revoked token is active');
    await app.revoke('no-token-of-anybody', 'revoke unknown');
    await app.revoke(tokens.refresh_token, 'revoke refresh');
    check(!(await app.introspect(tokens.refresh_token, 'introspect revoked')).active, 'a revoked token is active');
  },

  async 'device flow'(world) {
    const app = await App.start(world, world.clients.app);
    const { server, client, auth, options } = app;
    world.step = 'device';
    const asked = new URLSearchParams({ scope: world.scope, prompt: 'consent' });
    const begin = async () => {
      const answer = await oauth.deviceAuthorizationRequest(server, client, auth, asked, options);
      return oauth.processDeviceAuthorizationResponse(server, client, answer);
    };
    const [device, second] = [await begin(), await begin()];
    world.step = 'device waits';
    await refused(app.poll(second.device_code), 'authorization_pending');
    await world.approve(device.verification_uri_complete);
    world.step = 'device agreed';
    const tokens = await app.poll(device.device_code);
    check(tokens.access_token && tokens.refresh_token, JSON.stringify(tokens));
    world.step = 'device again';
    await refused(app.poll(device.device_code), 'invalid_grant');
  },

  async 'client credentials'(world) {
    const app = await App.start(world, world.clients.web);
    const { server, client, auth, options } = app;
    world.step = 'client credentials';
    const answer = await oauth.clientCredentialsGrantRequest(server, client, auth, { scope: 'orders' }, options);
    const tokens = await oauth.processClientCredentialsResponse(server, client, answer);
    check(tokens.scope === 'orders' && !tokens.refresh_token, JSON.stringify(tokens));
  },

  async 'pushed request'(world) {
    const app = await App.start(world, world.clients.web);
    await app.logIn({ par: true });
  },

  async 'DPoP, also with a pushed request'(world) {
    for (const par of [false, true]) {
      const app = await App.start(world, world.clients.app);
      await app.newKey();
      const { tokens, sub } = await app.logIn({ par });
      check(tokens.token_type === 'dpop', `token_type ${tokens.token_type}`);
      const asked = world.record.some(({ error }) => error === 'use_dpop_nonce');
      check(asked === world.nonces, `a nonce was ${asked ? '' : 'not '}asked for`);
      await app.about(tokens.access_token, sub);
      const renewed = await app.renew(tokens.refresh_token);
      await app.newKey();
      await refused(app.renew(renewed.refresh_token, 'refresh with another key'), 'invalid_grant');
    }
  },

  async 'DPoP of a confidential client'(world) {
    const app = await App.start(world, world.clients.web);
    await app.newKey();
    const { tokens, sub } = await app.logIn();
    await app.about(tokens.access_token, sub);
    // RFC 9449 section 5: its refresh tokens are bound by its authentication, so that the key may change.
    await app.newKey();
    const renewed = await app.renew(tokens.refresh_token);
    await app.about(renewed.access_token, sub);
  },
};
