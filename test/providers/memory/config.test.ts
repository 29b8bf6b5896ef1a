import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../../providers/memory/config.ts';

test('without a config the memory cloud is quick, consistent and has TEST-NET-1', () => {
  const times = { latencyMs: 0, consistencyMs: 0, createMs: 0, deleteMs: 0 };
  const defaults = { range: '192.0.2.0/24', ...times, quotas: {}, routeTables: ['main'] };
  for (const config of [undefined, {}]) assert.deepEqual(parseConfig(config), defaults);
});

test('a range is masked as everywhere', () => {
  assert.equal(parseConfig({ range: '198.51.100.7/28' }).range, '198.51.100.0/28');
});

test('all problems of a config are told at once', () => {
  assert.throws(
    () => parseConfig({ range: '10.0.0.0/33', latencyMs: -1, quota: 1, quotas: { balancers: 1.5 } }),
    (error: { code: string; field: string; message: string }) => {
      assert.deepEqual([error.code, error.field], ['FL_MEMORY_CONFIG', 'range']);
      for (const part of ['"10.0.0.0/33" is not an IPv4 CIDR', 'latencyMs', '"quota"', 'quotas.balancers']) {
        assert.ok(error.message.includes(part), `${part} in ${error.message}`);
      }
      return true;
    },
  );
  assert.throws(() => parseConfig({ range: '2001:db8::/64' }), /"2001:db8::\/64" is not an IPv4 CIDR/);
  assert.throws(() => parseConfig('x'), { code: 'FL_MEMORY_CONFIG' });
});
