import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { configMap, configMaps, createWorld, type Json } from './world.ts';

const names = ({ items }: Json): readonly string[] => items.map(({ metadata }: Json) => metadata.name);

test('pages show one moment, whatever is written between them', async () => {
  const write = fc.record({
    before: fc.nat({ max: 5 }),
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
    remove: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(write, { maxLength: 12 }), async (limit, writes) => {
      const { must, ask } = createWorld();
      for (const name of ['b', 'd', 'f']) await must('POST', configMaps, configMap(name));
      const whole = await must('GET', configMaps);
      const seen: string[] = [];
      const versions = new Set<string>();
      let token = '';
      for (let page = 0; page === 0 || token !== ''; page += 1) {
        const got = await must('GET', `${configMaps}?limit=${limit}&continue=${token}`);
        seen.push(...names(got));
        versions.add(got.metadata.resourceVersion);
        token = got.metadata.continue ?? '';
        assert.equal(got.metadata.remainingItemCount ?? 0, 3 - seen.length);
        for (const { name, remove } of writes.filter(({ before }) => before === page))
          await (remove ? ask('DELETE', `${configMaps}/${name}`) : ask('POST', configMaps, configMap(name)));
      }
      assert.deepEqual(seen, names(whole));
      assert.deepEqual([...versions], [whole.metadata.resourceVersion]);
    }),
    { numRuns: 30 },
  );
});

test('an expired token is refused with one that goes on at the present', async () => {
  const { must, ask } = createWorld({ logCount: 3 });
  for (const name of ['a', 'c', 'e']) await must('POST', configMaps, configMap(name));
  const first = await must('GET', `${configMaps}?limit=1`);
  for (const name of ['b', 'd', 'f', 'g']) await must('POST', configMaps, configMap(name));
  const expired = await ask('GET', `${configMaps}?limit=1&continue=${first.metadata.continue}`);
  assert.deepEqual([expired.status, expired.body.reason], [410, 'Expired']);
  const rest = await must('GET', `${configMaps}?continue=${expired.body.metadata.continue}`);
  assert.deepEqual(names(rest), ['b', 'c', 'd', 'e', 'f', 'g']);
  assert.equal(rest.metadata.continue, undefined);
});

test('a selector is applied before the limit, and says nothing of what remains', async () => {
  const { must } = createWorld();
  for (const name of ['a', 'b', 'c', 'd'])
    await must('POST', configMaps, configMap(name, {}, { odd: String('bd'.includes(name)) }));
  const page = await must('GET', `${configMaps}?limit=1&labelSelector=odd%3Dtrue`);
  assert.deepEqual(names(page), ['b']);
  assert.equal(page.metadata.remainingItemCount, undefined);
  assert.deepEqual(
    names(await must('GET', `${configMaps}?limit=5&labelSelector=odd%3Dtrue&continue=${page.metadata.continue}`)),
    ['d'],
  );
});

test('a version of the future is answered with 504 and a time to wait', async () => {
  const { ask } = createWorld();
  const { status, body } = await ask('GET', `${configMaps}?resourceVersion=999999`);
  assert.deepEqual([status, body.reason, body.details.retryAfterSeconds], [504, 'Timeout', 1]);
});
