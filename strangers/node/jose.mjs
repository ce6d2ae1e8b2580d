// npm jose: an API that trusts the issuer's key set.

import { createRemoteJWKSet, customFetch, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { check } from './world.mjs';

export const name = 'jose';

async function tokens(world) {
  const { app } = world.clients;
  const config = await oidc.discovery(new URL(world.issuer), app.id, undefined, oidc.None(), {
    [oidc.customFetch]: world.fetch,
    execute: [oidc.allowInsecureRequests],
  });
  const verifier = oidc.randomPKCECodeVerifier();
  const link = oidc.buildAuthorizationUrl(config, {
    redirect_uri: world.redirectUri,
    scope: world.scope,
    prompt: 'consent',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const checks = { pkceCodeVerifier: verifier };
  const granted = await oidc.authorizationCodeGrant(config, await world.logIn(link), checks);
  const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri), { [customFetch]: world.fetch });
  return { granted, keys };
}

async function refused(promise, kind) {
  const problem = await promise.then(
    () => undefined,
    (error) => error,
  );
  check(problem instanceof kind, `${kind.name} was expected, not ${problem}`);
}

export const flows = {
  async 'ID token by the key set'(world) {
    const { granted, keys } = await tokens(world);
    const rules = { issuer: world.issuer, audience: world.clients.app.id, algorithms: [world.alg] };
    const { payload, protectedHeader } = await jwtVerify(granted.id_token, keys, rules);
    check(protectedHeader.kid && payload.sub, 'kid or sub is missing');
    await refused(jwtVerify(granted.id_token, keys, { ...rules, audience: 'another' }), errors.JWTClaimValidationFailed);
    const later = new Date((payload.exp + 1) * 1000);
    await refused(jwtVerify(granted.id_token, keys, { ...rules, currentDate: later }), errors.JWTExpired);
  },

  async 'access token by the key set'(world) {
    if (!world.audience) return 'opaque there';
    const { granted, keys } = await tokens(world);
    const rules = { issuer: world.issuer, audience: world.audience, algorithms: [world.alg], typ: 'at+jwt' };
    const { payload } = await jwtVerify(granted.access_token, keys, rules);
    for (const claim of ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope']) {
      check(payload[claim] !== undefined, `RFC 9068 wants ${claim}`);
    }
    check(decodeProtectedHeader(granted.access_token).alg === world.alg, 'another algorithm');
    const [head, body, mark] = granted.access_token.split('.');
    const forged = Buffer.from(body, 'base64url').toString().replace(/orders/, 'admins');
    check(forged.includes('admins'), `no scope to forge in ${forged}`);
    const altered = `${head}.${Buffer.from(forged).toString('base64url')}.${mark}`;
    await refused(jwtVerify(altered, keys, rules), errors.JWSSignatureVerificationFailed);
    await refused(jwtVerify(granted.id_token, keys, rules), errors.JWTClaimValidationFailed);
    return undefined;
  },
};
