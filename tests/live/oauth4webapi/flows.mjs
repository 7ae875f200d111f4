// The strictest client that we know, through every flow of the served authorization server.
//
// Speaks JSON lines with the test: {"authorize": url} asks for a person's consent, and the answer is the callback.
// Ends with {"done": [...]}; a failure is an exception.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";

const demo = JSON.parse(process.env.DEMO);
const issuer = new URL(demo.base_url);
const scope = "account:read audit:read";
const account = new URL("/v1/me", issuer);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const as = await oauth
  .discoveryRequest(issuer, { algorithm: "oauth2" })
  .then((response) => oauth.processDiscoveryResponse(issuer, response));

function known(clientId) {
  return demo.clients.find((client) => client.client_id === clientId);
}

async function consent(url) {
  process.stdout.write(`${JSON.stringify({ authorize: url.href })}\n`);
  const { value } = await lines.next();
  return new URL(JSON.parse(value));
}

// The server asks for a nonce once; the library keeps it in the DPoP handle.
async function withNonce(send, process) {
  try {
    return await process(await send());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return await process(await send());
  }
}

async function call(token, DPoP) {
  return await withNonce(
    () => oauth.protectedResourceRequest(token.access_token, "GET", account, undefined, undefined, { DPoP }),
    async (response) => response,
  );
}

async function refused(token, DPoP) {
  await assert.rejects(call(token, DPoP), (error) => {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, String(error));
    assert.equal(error.status, 401);
    return true;
  });
}

async function flow(clientId, clientAuth, { push, bind, extra = {} }) {
  const client = { client_id: clientId };
  const redirect_uri = known(clientId).redirect_uris[0];
  const DPoP = bind ? oauth.DPoP(client, await oauth.generateKeyPair("ES256")) : undefined;
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const asked = new URLSearchParams({
    client_id: clientId,
    response_type: "code",
    redirect_uri,
    scope,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...extra,
  });
  const url = new URL(as.authorization_endpoint);
  if (push) {
    const pushed = await withNonce(
      () => oauth.pushedAuthorizationRequest(as, client, clientAuth, asked, { DPoP }),
      (response) => oauth.processPushedAuthorizationResponse(as, client, response),
    );
    url.search = new URLSearchParams({ client_id: clientId, request_uri: pushed.request_uri });
  } else {
    url.search = asked;
  }
  const parameters = oauth.validateAuthResponse(as, client, await consent(url), state);
  const tokens = await withNonce(
    () =>
      oauth.authorizationCodeGrantRequest(as, client, clientAuth, parameters, redirect_uri, verifier, { DPoP }),
    (response) => oauth.processAuthorizationCodeResponse(as, client, response),
  );
  assert.equal(tokens.token_type, bind ? "dpop" : "bearer");
  return { client, clientAuth, DPoP, tokens };
}

async function refresh({ client, clientAuth, DPoP }, tokens) {
  return await withNonce(
    () => oauth.refreshTokenGrantRequest(as, client, clientAuth, tokens.refresh_token, { DPoP }),
    (response) => oauth.processRefreshTokenResponse(as, client, response),
  );
}

async function introspect(client, clientAuth, token) {
  const response = await oauth.introspectionRequest(as, client, clientAuth, token.access_token);
  return await oauth.processIntrospectionResponse(as, client, response);
}

async function revoke({ client, clientAuth }, token) {
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, clientAuth, token));
}

const done = [];

// The resource says which server it trusts, and the server says the same of itself.
const resource = await oauth
  .resourceDiscoveryRequest(issuer)
  .then((response) => oauth.processResourceDiscoveryResponse(issuer, response));
assert.deepEqual(resource.authorization_servers, [as.issuer]);
done.push("metadata");

{
  const held = await flow("demo-web", oauth.None(), {});
  assert.equal((await call(held.tokens)).status, 200);
  const fresh = await refresh(held, held.tokens);
  assert.equal((await call(fresh)).status, 200);
  await refused(held.tokens);
  await revoke(held, fresh.refresh_token);
  await refused(fresh);
  done.push("code, PKCE, refresh, revoke");
}

{
  const held = await flow("demo-web", oauth.None(), { push: true, bind: true });
  assert.equal((await call(held.tokens, held.DPoP)).status, 200);
  await refused(held.tokens);
  await refused(held.tokens, oauth.DPoP(held.client, await oauth.generateKeyPair("ES256")));
  const fresh = await refresh(held, held.tokens);
  assert.equal((await call(fresh, held.DPoP)).status, 200);
  done.push("PAR, DPoP");
}

{
  const jwk = known("demo-fapi").private_jwk;
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const clientAuth = oauth.PrivateKeyJwt({ key, kid: jwk.kid });
  const held = await flow("demo-fapi", clientAuth, { push: true, bind: true });
  assert.equal((await call(held.tokens, held.DPoP)).status, 200);
  const told = await introspect(held.client, clientAuth, held.tokens);
  assert.equal(told.active, true);
  assert.ok(told.cnf.jkt);
  const fresh = await refresh(held, held.tokens);
  await revoke(held, fresh.access_token);
  await refused(fresh, held.DPoP);
  assert.equal((await introspect(held.client, clientAuth, fresh)).active, false);
  await assert.rejects(flow("demo-fapi", clientAuth, { push: false, bind: true }));
  done.push("FAPI 2.0: PAR, DPoP, private_key_jwt, introspect");
}

{
  const service = known(demo.clients.find((client) => client.client_id.startsWith("demo-service")).client_id);
  const client = { client_id: service.client_id };
  const clientAuth = oauth.ClientSecretBasic(service.client_secret);
  if (service.scopes.length > 0) {
    const response = await oauth.clientCredentialsGrantRequest(
      as,
      client,
      clientAuth,
      new URLSearchParams({ scope: service.scopes[0] }),
    );
    const tokens = await oauth.processClientCredentialsResponse(as, client, response);
    assert.equal((await introspect(client, clientAuth, tokens)).sub, service.client_id);
  }
  done.push("client credentials");
}

{
  // What a step-up asks for: sign in again, and the time of it is told.
  const before = Math.floor(Date.now() / 1000) - 2;
  const held = await flow("demo-web", oauth.None(), { extra: { max_age: "0" } });
  const reports = known("demo-reports");
  const clientAuth = oauth.ClientSecretPost(reports.client_secret);
  const told = await introspect({ client_id: reports.client_id }, clientAuth, held.tokens);
  assert.ok(told.auth_time >= before);
  done.push("step-up");
}

process.stdout.write(`${JSON.stringify({ done })}\n`);
process.exit(0);
