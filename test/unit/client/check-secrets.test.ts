import { expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import { checkConfig } from '../../../client/checks/plain-secrets.ts';
import type { CheckScope } from '../../../client/checks/finding.ts';

const text = `version: 1
encryption: { recipients: [age1h5atuchmdkurxtw6gq9d2m5veeg9k4qpqjajetunzgmx9rgqrg9szdj5x8] }
repositories: { a: { type: disk, path: /a } }
targets: { media: { type: files, paths: [/srv/media] } }
retention: [{ last: 2 }]
approvers: { ann: { token: { env: ANN } } }
webhooks:
  - { name: hook, format: alertmanager, token: [{ env: OLD }, { env: NEW }] }
`;

test('O4 check names secrets of webhooks and approvers that are not there', () => {
  const config = parseConfig(text, { shown: 'x', dir: '/', env: {} });
  const scope = (env: Record<string, string>): CheckScope => ({ loaded: { config, source: config, path: 'x' }, env, signal: new AbortController().signal, host: 'h' }) as unknown as CheckScope;
  const warned = (env: Record<string, string>): string[] => checkConfig(scope(env)).filter(({ status }) => status === 'warn').map(({ message }) => message);
  expect(warned({ ANN: 'a', OLD: 'b', NEW: 'c' })).toEqual([]);
  expect(warned({ ANN: '', OLD: 'b' })).toEqual([expect.stringMatching(/^webhooks\[0\]\.token\[1\]: environment variable NEW is not set/), expect.stringMatching(/^approvers\.ann\.token: environment variable ANN is empty/)]);
});
