// The whole journey with openid-client, all of its checks on.

import assert from "node:assert/strict";
import * as oidc from "openid-client";
import { browse, done, rotate, settings } from "./journey.mjs";

const auth = {
  none: () => oidc.None(),
  client_secret_post: () => oidc.ClientSecretPost(settings.clientSecret),
  client_secret_basic: () => oidc.ClientSecretBasic(settings.clientSecret),
}[settings.authMethod]();

const issuer = new URL(settings.issuer);
const config = await oidc.discovery(issuer, settings.clientId, undefined, auth, {
  execute: [oidc.enableNonRepudiationChecks],
});

const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
const expectedNonce = oidc.randomNonce();
const expectedState = oidc.randomState();
// The sandbox has no certificate: its URL, and nothing else, is made without one.
const lenient = new oidc.Configuration(config.serverMetadata(), settings.clientId);
oidc.allowInsecureRequests(lenient);
const url = oidc.buildAuthorizationUrl(lenient, {
  redirect_uri: settings.redirectUri,
  scope: settings.scope,
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
  nonce: expectedNonce,
  state: expectedState,
  max_age: "3600",
});
const web = await oidc.authorizationCodeGrant(config, await browse(url), {
  pkceCodeVerifier,
  expectedNonce,
  expectedState,
  maxAge: 3600,
  idTokenExpected: true,
});
const { sub } = web.claims();
assert.equal((await oidc.fetchUserInfo(config, web.access_token, sub)).email, "alice@example.com");

await rotate();

const refreshed = await oidc.refreshTokenGrant(config, web.refresh_token);
assert.notEqual(refreshed.refresh_token, web.refresh_token);
assert.equal((await oidc.fetchUserInfo(config, refreshed.access_token, sub)).sub, sub);

const { scope, username, password } = settings;
const typed = await oidc.genericGrantRequest(config, "password", { scope, username, password });
assert.equal((await oidc.fetchUserInfo(config, typed.access_token, sub)).sub, sub);

await assert.rejects(
  oidc.genericGrantRequest(config, "password", { scope, username, password: "wrong" }),
  { error: "invalid_grant", error_description: "Invalid username or password", status: 400 },
);
await assert.rejects(oidc.fetchUserInfo(config, typed.id_token, sub), { status: 401 });

done([web.claims(), refreshed.claims(), typed.claims()]);
