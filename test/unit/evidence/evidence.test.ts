import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { EvidenceDocument, SignedEvidence } from '../../../domain/evidence.ts';
import type { ObjectStore } from '../../../domain/ports.ts';
import { findEvidence, listEvidence, missingCopies, renderPage, verifyEvidence, writeEvidence } from '../../../providers/evidence/index.ts';
import { DiskStore } from '../../../providers/repository/disk-store.ts';
import { ForwardingStore } from '../../../providers/repository/decorators/forwarding.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { generateHostKey } from '../../../providers/vault/host-key.ts';

const hostKey = await generateHostKey();
const trusted = [hostKey.publicKey];
const documentOf = (id: string, changes: Partial<EvidenceDocument> = {}): EvidenceDocument => ({
  schemaVersion: 1, kind: 'drill', id, target: 'shop', at: '2026-11-25T20:00:00.000Z', title: `Drill ${id}`, status: 'passed',
  objectives: { rtoMs: 14_400_000, rpoMs: 3_600_000 }, measured: { rtoMs: 42_000, rpoMs: null },
  timeline: [{ phase: 'fetch', startedAt: '2026-11-25T19:59:00.000Z', durationMs: 30_000, outcome: 'completed', detail: '12 MiB' }],
  checks: [{ name: 'rows', outcome: 'passed', detail: '3 = 3' }], recommendations: ['Take backups more often.'], facts: { backup: 'abc' }, ...changes,
});
const write = (store: ObjectStore, document: EvidenceDocument, head?: { sequence: number; sha256: string }) => writeEvidence(store, { document, hostKey, recordedBy: 'host', head });
const problemsOf = async (store: ObjectStore, options = {}) => (await verifyEvidence(store, { trusted, ...options })).flatMap((chain) => chain.problems.map(({ sequence, problem }) => `${String(sequence)} ${problem}`));
const slot = (n: number): string => `evidence/drill/shop/${String(n).padStart(8, '0')}.json`;

let directory: string | undefined;
afterEach(() => {
  if (directory !== undefined) rmSync(directory, { recursive: true });
  directory = undefined;
});

describe('D3 evidence', () => {
  test('is chained, found, listed newest first, and verified; the same document is written once', async () => {
    const store = new MemoryStore();
    for (const id of ['a', 'b', 'c']) await write(store, documentOf(id, { at: `2026-11-2${String(id.charCodeAt(0) - 96)}T00:00:00Z` }));
    const again = await write(store, documentOf('b', { at: '2026-11-22T00:00:00Z' }));
    expect(again).toMatchObject({ sequence: 2, key: slot(2) });
    await write(store, documentOf('x', { kind: 'incident', target: 'api' }));
    expect((await listEvidence(store, { kind: 'drill', trusted })).map((each) => each.evidence?.id)).toEqual(['c', 'b', 'a']);
    expect((await listEvidence(store, { kind: 'drill', target: 'shop', limit: 1, trusted })).map((each) => each.evidence?.id)).toEqual(['c']);
    const found = await findEvidence(store, 'b', { trusted });
    expect(found.evidence).toMatchObject({ title: 'Drill b', seal: { chain: { sequence: 2 }, recordedBy: 'host' } });
    await expect(findEvidence(store, 'nobody')).rejects.toMatchObject({ code: 'evidenceUnknown' });
    expect(await verifyEvidence(store, { trusted })).toMatchObject([{ kind: 'drill', target: 'shop', documents: 3, problems: [] }, { kind: 'incident', target: 'api', documents: 1, problems: [] }]);
  });

  test('another content under the same id is a later revision', async () => {
    const store = new MemoryStore();
    await write(store, documentOf('a', { status: 'failed' }));
    await write(store, documentOf('a', { status: 'passed', at: '2026-11-25T21:00:00.000Z' }));
    expect((await findEvidence(store, 'a', { trusted })).evidence.status).toBe('passed');
    expect(await problemsOf(store)).toEqual([]);
  });

  test.each([
    ['memory', () => new MemoryStore()],
    ['disk', () => new DiskStore({ name: 'disk', path: (directory = mkdtempSync(join(tmpdir(), 'resurgo-evidence-'))) })],
    ['a store that ignores conditions', () => new Unconditional(new MemoryStore())],
  ])('writers who meet get an order and no fork: %s', async (_name, make) => {
    const store = make();
    const ids = Array.from({ length: 12 }, (_, i) => `run${String(i)}`);
    const written = await Promise.all(ids.map((id) => write(store, documentOf(id))));
    expect(written.map(({ sequence }) => sequence).sort((a, b) => a - b)).toEqual(ids.map((_, i) => i + 1));
    const chains = await verifyEvidence(store, { trusted });
    expect(chains).toMatchObject([{ documents: 12, problems: [] }]);
    expect(chains[0]?.good.map(({ id }) => id).sort()).toEqual([...ids].sort());
  });

  test('every alteration is named: content, signature, order, gap, first, page, another host, cut end', async () => {
    const make = async (): Promise<MemoryStore> => {
      const store = new MemoryStore();
      for (const id of ['a', 'b', 'c']) await write(store, documentOf(id));
      return store;
    };
    const raw = (store: MemoryStore, n: number): Buffer => store.objects.get(slot(n))!.body;
    const put = (store: MemoryStore, n: number, body: Buffer | string): void => void store.objects.set(slot(n), { body: Buffer.from(body), modifiedAt: '' });

    const edited = await make();
    put(edited, 2, raw(edited, 2).toString().replace('"passed"', '"failed"'));
    expect(await problemsOf(edited)).toEqual(['2 altered', '3 chain']);

    const respaced = await make();
    put(respaced, 1, JSON.stringify(JSON.parse(raw(respaced, 1).toString())));
    expect(await problemsOf(respaced)).toEqual(['2 chain']);

    const swapped = await make();
    const [one, two] = [raw(swapped, 1), raw(swapped, 2)];
    put(swapped, 1, two);
    put(swapped, 2, one);
    expect((await problemsOf(swapped)).length).toBeGreaterThanOrEqual(3);

    const gap = await make();
    gap.objects.delete(slot(2));
    expect(await problemsOf(gap)).toEqual(['2 missing']);
    const beheaded = await make();
    beheaded.objects.delete(slot(1));
    expect(await problemsOf(beheaded)).toEqual(['1 missing']);

    const other = await generateHostKey();
    const forged = await make();
    await writeEvidence(forged, { document: documentOf('d'), hostKey: other, recordedBy: 'thief' });
    expect(await problemsOf(forged)).toEqual(['4 untrusted']);
    expect((await listEvidence(forged, { trusted })).find((each) => each.sequence === 4)).toMatchObject({ error: { code: 'evidenceUntrusted' } });

    const page = await make();
    const { seal } = JSON.parse(raw(page, 1).toString()) as SignedEvidence;
    page.objects.set(seal.page.key, { body: Buffer.from('<script>'), modifiedAt: '' });
    page.objects.delete((JSON.parse(raw(page, 2).toString()) as SignedEvidence).seal.page.key);
    expect(await problemsOf(page)).toEqual(['1 page', '2 page']);

    const truncated = await make();
    put(truncated, 2, raw(truncated, 2).subarray(0, 100));
    expect(await problemsOf(truncated)).toEqual(['2 altered', '3 chain']);

    // The end is cut off: the chain alone looks whole; who wrote it knows better, and what is written next shows the gap for ever.
    const cut = new MemoryStore();
    await write(cut, documentOf('a'));
    const head = await write(cut, documentOf('b'));
    cut.objects.delete(slot(2));
    expect(await problemsOf(cut)).toEqual([]);
    expect(await problemsOf(cut, { headOf: async () => head })).toEqual(['2 missing']);
    // All of it is gone, and the store looks new.
    const emptied = new MemoryStore();
    const { kind, target } = documentOf('a');
    expect(await problemsOf(emptied, { headOf: async () => head, remembered: [{ kind, target }] })).toEqual(['2 missing']);
    await write(cut, documentOf('c'), head);
    expect(await problemsOf(cut)).toEqual(['2 missing']);
    put(cut, 3, raw(cut, 1));
  });

  test('a copy that another repository lacks is named', async () => {
    const [a, b] = [new MemoryStore('a'), new MemoryStore('b')];
    for (const store of [a, b]) await write(store, documentOf('one'));
    await write(a, documentOf('two'));
    const all = new Map([['a', await verifyEvidence(a, { trusted })], ['b', await verifyEvidence(b, { trusted })]]);
    expect(missingCopies(all)).toMatchObject([{ repository: 'b', problem: 'copy', message: expect.stringContaining('evidence two') as string }]);
  });

  test('what is no document is refused, with the fields named; nothing is written', async () => {
    const store = new MemoryStore();
    const bad = { ...documentOf('a'), at: 'yesterday', measured: { rtoMs: Infinity }, target: '../x' };
    await expect(write(store, bad)).rejects.toMatchObject({ code: 'inputInvalid', message: expect.stringMatching(/target.*at|at.*target/s) as string });
    await expect(write(store, documentOf('a', { recommendations: ['x'.repeat(1_100_000)] }))).rejects.toMatchObject({ code: 'inputInvalid' });
    expect(store.objects.size).toBe(0);
  });

  test('the page shows everything, escapes everything, and loads nothing', () => {
    const nasty = `<script>alert(1)</script>"'&\u202e`;
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.constant(nasty)), (text) => {
        const html = renderPage(
          documentOf('a', {
            title: text || 'x', status: text || 'x', recommendations: [text],
            timeline: [{ phase: text, startedAt: '2026-11-25T19:59:00.000Z', durationMs: 0, outcome: 'failed', detail: text }],
            checks: [{ name: text, outcome: 'failed', detail: text }], facts: { [text || 'x']: { deep: [text] } }, objectives: { [text || 'x']: 1 },
          }),
          { digest: 'd', publicKey: 'p' },
        );
        expect(html).not.toMatch(/<(script|img|iframe|link|object|a)\b/i);
        const tags = html.replaceAll(/<style>[^]*?<\/style>/g, '').match(/<[^>]*>/g) ?? [];
        for (const tag of tags) expect(tag).toMatch(/^<\/?[a-z0-9!-]+(\s+[a-zA-Z0-9-]+(="[^"<>]*")?)*\s*\/?>$/);
      }),
      { numRuns: 60 },
    );
    const html = renderPage(documentOf('a'), { digest: 'd', publicKey: 'p' });
    for (const shown of ['Drill a', 'Recovery time (RTO)', '42.0 s', '4h 00m', 'met', 'not measured', 'fetch', '12 MiB', 'Take backups more often.', '3 = 3']) expect(html).toContain(shown);
    expect(html).not.toMatch(/https?:|url\(|@import|\son\w+=/);
    expect(html).toBe(renderPage(documentOf('a'), { digest: 'd', publicKey: 'p' }));
  });
});

/** Like object stores without `If-None-Match`: of two writers who meet the later wins. */
class Unconditional extends ForwardingStore {
  override put(key: string, body: Uint8Array, options: { ifAbsent?: boolean } = {}): Promise<void> {
    const { ifAbsent: _, ...rest } = options;
    return super.put(key, body, rest);
  }
}
