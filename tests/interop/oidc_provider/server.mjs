// An authorization server of oidc-provider on the loopback address, for the tests beside it.
//
// Its first line of input is a JSON object: `clients`, in the words of RFC 7591, and `tls`, PEM
// texts for the listener of mutual TLS. Its first line of output says where it is. It ends when its
// input does, so that none is left behind by a test run that was killed.
//
// It is started in the directory in which npm has put oidc-provider.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTLSServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.info = () => {}; // what it says on its way does not belong into the output
const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit());
const { clients, tls } = JSON.parse((await once(lines, 'line'))[0]);

const installed = createRequire(join(process.cwd(), 'package.json')).resolve('oidc-provider');
const { default: Provider, errors } = await import(pathToFileURL(installed));

const LIFE = 'access_token_seconds'; // a client may say how long its access tokens live
const API = 'urn:interop:api'; // who access tokens are for that are asked for without `openid`

const listening = async (server) => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server.address().port;
};
const server = createServer();
const tlsServer = createTLSServer({ ...tls, requestCert: true, rejectUnauthorized: false });
const issuer = `http://127.0.0.1:${await listening(server)}`;
const mtls = `https://localhost:${await listening(tlsServer)}`;

const secondsOf = (client) => client?.[LIFE] ?? 60;
const certificateOf = (ctx) => ctx.socket.getPeerX509Certificate?.();
const key = (type, options, use) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use };
};

const provider = new Provider(issuer, {
  clients,
  clockTolerance: 0,
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, 'sig'),
      key('ec', { namedCurve: 'P-256' }, 'sig'),
      key('ed25519', {}, 'sig'),
    ],
  },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'Ed25519', 'EdDSA', 'HS256'],
    idTokenEncryptionAlgValues: ['RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW'],
    introspectionSigningAlgValues: ['RS256', 'ES256', 'HS256'],
    userinfoSigningAlgValues: ['RS256', 'ES256', 'HS256'],
  },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access', 'read', 'write'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  acrValues: ['urn:interop:password'],
  extraClientMetadata: { properties: [LIFE] },
  clientAuthMethods: [
    'none',
    'client_secret_basic',
    'client_secret_post',
    'client_secret_jwt',
    'private_key_jwt',
    'tls_client_auth',
    'self_signed_tls_client_auth',
  ],
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, name: sub }),
  }),
  ttl: {
    AccessToken: (ctx, token, client) => secondsOf(client),
    ClientCredentials: (ctx, token, client) => secondsOf(client),
    DeviceCode: 60,
    Grant: 600,
    IdToken: 60,
    Interaction: 60,
    RefreshToken: 600,
    Session: 600,
  },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  // without what keeps its requests to clients away from this machine
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  discovery: {
    mtls_endpoint_aliases: Object.fromEntries(
      Object.entries({
        token: 'token',
        introspection: 'token/introspection',
        revocation: 'token/revocation',
        userinfo: 'me',
        device_authorization: 'device/auth',
        pushed_authorization_request: 'request',
      }).map(([name, path]) => [`${name}_endpoint`, `${mtls}/${path}`]),
    ),
  },
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    claimsParameter: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    encryption: { enabled: true },
    introspection: { enabled: true },
    jwtIntrospection: { enabled: true },
    jwtResponseModes: { enabled: true },
    jwtUserinfo: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate: certificateOf,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_subject_dn' && certificateOf(ctx).subject === expected,
    },
    registration: { enabled: true },
    registrationManagement: { enabled: true },
    requestObjects: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client, oneOf) => oneOf ?? (ctx.oidc.params.scope?.includes('openid') ? undefined : API),
      getResourceServerInfo: (ctx, resource, client) => {
        if (!resource.startsWith('urn:interop:')) throw new errors.InvalidTarget();
        return { scope: 'read write', accessTokenTTL: secondsOf(client), accessTokenFormat: 'opaque' };
      },
    },
    revocation: { enabled: true },
  },
});
provider.on('server_error', (ctx, error) => console.error(error));

// An API that takes the access tokens of this server, at /api; all else is the provider's own.
const answer = provider.callback();
const serve = async (request, response) => {
  if (request.url !== '/api') {
    answer(request, response);
    return;
  }
  const text = request.headers.authorization?.match(/^Bearer (.+)$/)?.[1] ?? '';
  const token = (await provider.AccessToken.find(text)) ?? (await provider.ClientCredentials.find(text));
  const challenge = `Bearer realm="api"${text && ', error="invalid_token"'}`;
  response.writeHead(token ? 200 : 401, {
    'content-type': 'application/json',
    ...(token ? {} : { 'www-authenticate': challenge }),
  });
  const seen = token && { client_id: token.clientId, scope: token.scope, aud: token.aud };
  response.end(JSON.stringify(seen ?? {}));
};
server.on('request', serve);
tlsServer.on('request', serve);
process.stdout.write(`${JSON.stringify({ issuer, mtls })}\n`);
