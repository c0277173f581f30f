// An OIDC provider with one client, whoever logs in being whoever they say: node provider.mjs PORT CLIENT SECRET
// Runs in the folder that `make .venv/.oidc` fills. A login name "ann+dev+ops" is Ann in the groups dev and ops.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.cwd()}/`);
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const [port, clientId, clientSecret] = process.argv.slice(2);

const account = (id) => {
  const [name, ...groups] = id.split('+');
  const claims = { sub: id, preferred_username: name.split('!')[0], email: `${name}@example.org`, groups };
  return { accountId: id, claims: () => claims };
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: clientId,
    client_secret: clientSecret,
    application_type: 'native', // any port of the loopback address
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    subject_type: 'pairwise',
  }],
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email'] },
  subjectTypes: ['pairwise'],
  pairwiseIdentifier: (_context, id) => `subject-of-${id.split('+')[0]}`, // the same in other groups
  findAccount: (_context, id) => account(id),
  pkce: { required: () => true },
  cookies: { keys: ['cookies of the tests'] },
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
