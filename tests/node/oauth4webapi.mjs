// The whole journey with oauth4webapi, all of its checks on.

import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { browse, done, rotate, settings } from "./journey.mjs";

const auth = {
  none: () => oauth.None(),
  client_secret_post: () => oauth.ClientSecretPost(settings.clientSecret),
  client_secret_basic: () => oauth.ClientSecretBasic(settings.clientSecret),
}[settings.authMethod]();

const issuer = new URL(settings.issuer);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer));
const client = { client_id: settings.clientId };

async function userinfo(token, sub) {
  const response = await oauth.userInfoRequest(as, client, token);
  return oauth.processUserInfoResponse(as, client, sub, response);
}

// A token response with its id token read and its signature verified.
async function verified(process, response, checks) {
  const tokens = await process(as, client, response, checks);
  await oauth.validateApplicationLevelSignature(as, response);
  return [tokens, oauth.getValidatedIdTokenClaims(tokens)];
}

const verifier = oauth.generateRandomCodeVerifier();
const nonce = oauth.generateRandomNonce();
const state = oauth.generateRandomState();
const url = new URL(as.authorization_endpoint);
for (const [name, value] of Object.entries({
  client_id: client.client_id,
  response_type: "code",
  redirect_uri: settings.redirectUri,
  scope: settings.scope,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  nonce,
  state,
})) {
  url.searchParams.set(name, value);
}
const callback = oauth.validateAuthResponse(as, client, await browse(url), state);
const [web, webClaims] = await verified(
  oauth.processAuthorizationCodeResponse,
  await oauth.authorizationCodeGrantRequest(
    as, client, auth, callback, settings.redirectUri, verifier,
  ),
  { expectedNonce: nonce, maxAge: 3600, requireIdToken: true },
);
const { sub } = webClaims;
assert.equal((await userinfo(web.access_token, sub)).email, "alice@example.com");

await rotate();

const [refreshed, refreshedClaims] = await verified(
  oauth.processRefreshTokenResponse,
  await oauth.refreshTokenGrantRequest(as, client, auth, web.refresh_token),
);
assert.notEqual(refreshed.refresh_token, web.refresh_token);
assert.equal((await userinfo(refreshed.access_token, sub)).sub, sub);

const { scope, username, password } = settings;
const grant = (typed) =>
  oauth.genericTokenEndpointRequest(as, client, auth, "password", {
    scope,
    username,
    password: typed,
  });
const [typed, typedClaims] = await verified(
  oauth.processGenericTokenEndpointResponse,
  await grant(password),
);
assert.equal((await userinfo(typed.access_token, sub)).sub, sub);

await assert.rejects(
  oauth.processGenericTokenEndpointResponse(as, client, await grant("wrong")),
  { error: "invalid_grant", error_description: "Invalid username or password", status: 400 },
);
await assert.rejects(userinfo(typed.id_token, sub), { status: 401 });

done([webClaims, refreshedClaims, typedClaims]);
