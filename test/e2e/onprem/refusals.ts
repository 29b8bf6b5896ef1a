/** Every wrong Service: its code, its event, its condition, the field by name; and what was good stays. */
import assert from 'node:assert/strict';
import { type ErrorCode, errorCatalogue } from '../../../src/core/errors.ts';
import { eventually, type ServiceOptions, type World } from '../world.ts';
import { type Cases, refused, served, waiting } from './cases.ts';

const REQUEST = 'metallb.io/loadBalancerIPs';
const POOL_WISH = 'metallb.io/address-pool';
const COUNT = 'fairlead.dev/address-count';
const POOLS = 'fairlead.dev/address-pools';

interface Row {
  readonly code: ErrorCode;
  readonly service: ServiceOptions;
  /** Annotation or spec path that the message names; absent: no field is at fault. */
  readonly field?: string;
  /** What else it says. */
  readonly says?: RegExp;
}

const asks = (annotations: Readonly<Record<string, string>>): ServiceOptions => ({ annotations });

const rows: readonly Row[] = [
  {
    code: 'FL_ADDRESS_INVALID',
    service: asks({ [REQUEST]: 'not an address' }),
    field: REQUEST,
    says: /"not an address".*192\.0\.2\.10/,
  },
  { code: 'FL_ADDRESS_INVALID', service: asks({ [REQUEST]: '10.77.0.1,' }), field: REQUEST },
  { code: 'FL_ADDRESS_INVALID', service: asks({ [REQUEST]: '10.77.0.1,10.77.0.1' }), field: REQUEST, says: /twice/ },
  { code: 'FL_ADDRESS_INVALID', service: asks({ [REQUEST]: '010.77.0.1' }), field: REQUEST },
  {
    code: 'FL_ADDRESS_INVALID',
    service: asks({ 'metallb.universe.tf/loadBalancerIPs': 'x' }),
    field: 'metallb.universe.tf/loadBalancerIPs',
  },
  { code: 'FL_ADDRESS_FAMILY', service: asks({ [REQUEST]: 'fd00:77::1' }), field: REQUEST, says: /ipv4/ },
  {
    code: 'FL_ADDRESS_FAMILY',
    service: asks({ [REQUEST]: '10.77.0.1,10.77.0.2' }),
    field: REQUEST,
    says: /more than 1/,
  },
  { code: 'FL_ADDRESS_FAMILY', service: { loadBalancerIP: 'fd00:77::1' }, field: 'spec.loadBalancerIP' },
  {
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    service: { loadBalancerIP: '10.77.0.1', ...asks({ [REQUEST]: '10.77.0.1' }) },
    field: REQUEST,
    says: /spec\.loadBalancerIP.*keep one/,
  },
  { code: 'FL_ADDRESS_REQUEST_AMBIGUOUS', service: asks({ [POOLS]: 'default,' }), field: POOLS },
  { code: 'FL_ADDRESS_REQUEST_AMBIGUOUS', service: asks({ [POOLS]: 'default', [POOL_WISH]: 'default' }), field: POOLS },
  { code: 'FL_ADDRESS_COUNT_INVALID', service: asks({ [COUNT]: '9' }), field: COUNT, says: /1 to 8/ },
  { code: 'FL_ADDRESS_COUNT_INVALID', service: asks({ [COUNT]: 'two' }), field: COUNT, says: /"two"/ },
  { code: 'FL_ADDRESS_COUNT_INVALID', service: asks({ [COUNT]: '2', [POOLS]: 'default' }), field: COUNT },
  { code: 'FL_ADDRESS_NOT_IN_POOL', service: asks({ [REQUEST]: '192.0.2.1' }), field: REQUEST, says: /192\.0\.2\.1/ },
  {
    code: 'FL_ADDRESS_NOT_IN_POOL',
    service: asks({ [REQUEST]: '10.77.0.1', [POOL_WISH]: 'avoids' }),
    field: REQUEST,
    says: /avoids/,
  },
  { code: 'FL_ADDRESS_AVOIDED', service: asks({ [REQUEST]: '10.78.0.255' }), field: REQUEST, says: /10\.78\.0\.255/ },
  {
    code: 'FL_ADDRESS_IN_USE',
    service: asks({ [REQUEST]: '10.80.0.0' }),
    field: REQUEST,
    says: /10\.80\.0\.0.*holder/,
  },
  { code: 'FL_POOL_UNKNOWN', service: asks({ [POOL_WISH]: 'nonsense' }), field: POOL_WISH, says: /"nonsense"/ },
  { code: 'FL_POOL_UNKNOWN', service: asks({ [POOLS]: 'default,nonsense' }), field: POOLS, says: /"nonsense"/ },
  { code: 'FL_POOL_DISABLED', service: asks({ [POOL_WISH]: 'drained' }), field: POOL_WISH, says: /drained/ },
  { code: 'FL_POOL_INCOMPATIBLE', service: asks({ [POOL_WISH]: 'closed' }), field: POOL_WISH, says: /closed/ },
  {
    code: 'FL_POOL_FAMILY',
    service: { ipFamilies: ['IPv6'], ...asks({ [POOL_WISH]: 'default' }) },
    field: POOL_WISH,
    says: /IPv6/i,
  },
  { code: 'FL_POOL_MISSING', service: { ipFamilies: ['IPv6'] }, says: /ipv6/i },
  { code: 'FL_POOL_EXHAUSTED', service: asks({ [POOL_WISH]: 'full' }), says: /full/ },
  {
    code: 'FL_QUOTA_NAMESPACE',
    service: asks({ [POOL_WISH]: 'limited' }),
    says: /1 addresses of pool "limited".*first/,
  },
  {
    code: 'FL_RETAIN_INVALID',
    service: asks({ 'fairlead.dev/retain': 'for ever' }),
    field: 'fairlead.dev/retain',
    says: /24h/,
  },
];

async function manyPools(w: World): Promise<void> {
  await w.pool('default', ['10.77.0.0/24']);
  await w.pool('avoids', ['10.78.0.0/24'], { avoidBuggyIPs: true, autoAssign: false });
  await w.pool('drained', ['10.79.0.0/24'], { annotations: { 'fairlead.dev/disabled': 'true' } });
  await w.pool('full', ['10.80.0.0/32'], { autoAssign: false });
  await w.pool('closed', ['10.81.0.0/24'], { serviceAllocation: { namespaces: ['somewhere-else'] } });
  await w.pool('limited', ['10.82.0.0/24'], { autoAssign: false, annotations: { 'fairlead.dev/quota': '*=1' } });
  await w.create('holder', { annotations: { [POOL_WISH]: 'full' } });
  await w.create('first', { annotations: { [POOL_WISH]: 'limited' } });
}

export const cases: Cases = {
  async 'each has its code in event and condition, names the field and the right form, and holds nothing'(w) {
    await manyPools(w);
    await w.start();
    await w.gets('holder', ['10.80.0.0']);
    await w.gets('first', ['10.82.0.0']);
    for (const [index, { code, service, field, says }] of rows.entries()) {
      const name = `wrong-${index}`;
      const what = `${code} ${JSON.stringify(service)}`;
      await w.create(name, service);
      const { kind, ...entry } = errorCatalogue[code];
      await eventually(async () =>
        assert.deepEqual(await w.conditions(name), kind === 'invalid' ? refused : waiting, what),
      );
      const message = await w.message(name, 'Serving');
      assert.ok(message.startsWith(`${kind}: `) && message.includes(code), `${what}: ${message}`);
      if (field !== undefined) assert.ok(message.includes(`${field}`), `${what}: ${message}`);
      if (says !== undefined) assert.match(message, says, what);
      const reason = 'event' in entry ? entry.event : 'SyncLoadBalancerFailed';
      await eventually(async () => {
        const [event = '', ...more] = await w.events(name);
        assert.ok(event.startsWith(`Warning ${reason}: `) && event.includes(message), `${what}: ${event}`);
        assert.deepEqual(more, [], what);
      });
      assert.deepEqual(await w.shown(name), [], what);
    }
    assert.deepEqual(await w.reserved(), {
      '10.80.0.0': [`${w.namespace}/holder`],
      '10.82.0.0': [`${w.namespace}/first`],
    });
  },

  async 'no code of addresses and pools is missing in that table'() {
    const seen = new Set<string>(rows.map(({ code }) => code));
    const elsewhere = ['FL_POOL_INVALID']; // state.ts: it is about the pools, not about a Service
    const missing = Object.keys(errorCatalogue).filter(
      (code) => /^FL_(ADDRESS|POOL)_/.test(code) && !seen.has(code) && !elsewhere.includes(code),
    );
    assert.deepEqual(missing, []);
  },

  async 'what the API server itself refuses never comes to us: no cluster IP, two families where there is one'(w) {
    const headless = { type: 'LoadBalancer', clusterIP: 'None', ports: [{ port: 80 }] };
    const path = `/api/v1/namespaces/${w.namespace}/services`;
    const answer = await w.request('POST', path, { metadata: { name: 'headless' }, spec: headless });
    assert.equal(answer.status, 422, answer.text);
    const oneFamily = {
      type: 'LoadBalancer',
      ipFamilyPolicy: 'RequireDualStack',
      clusterIPs: ['10.96.7.7', '10.96.7.8'],
      ports: [{ port: 80 }],
    };
    const other = await w.request('POST', path, { metadata: { name: 'one-family' }, spec: oneFamily });
    assert.equal(other.status, 422, other.text);
  },

  async 'a wrong wish on a Service that serves: it serves on, Degraded says what is wrong, and the right form ends it'(
    w,
  ) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    const wrong = [
      { [REQUEST]: 'not an address' },
      { [REQUEST]: '192.0.2.1' },
      { [POOL_WISH]: 'nonsense' },
      { [COUNT]: '9' },
    ];
    for (const annotations of wrong) {
      const [key = ''] = Object.keys(annotations);
      await w.annotate('a', annotations);
      await eventually(async () =>
        assert.deepEqual(await w.conditions('a'), ['Degraded True/StaleSpec', ...served], JSON.stringify(annotations)),
      );
      assert.ok((await w.message('a', 'Degraded')).includes(key), await w.message('a', 'Degraded'));
      assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
      await w.annotate('a', { [key]: null });
      await eventually(async () => assert.deepEqual(await w.conditions('a'), served));
    }
    assert.deepEqual(await w.reserved(), { '10.77.0.0': [`${w.namespace}/a`] });
    await eventually(async () => {
      const told = (await w.events('a')).filter((event) => event.startsWith('Warning'));
      assert.equal(told.length, wrong.length, told.join('\n'));
    });
  },

  async 'a wrong Service in the way of a restart keeps its address too'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one' });
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await first.stop();
    await w.annotate('a', { [REQUEST]: 'not an address' });
    await w.create('b');
    await w.start({ name: 'two' });
    await w.gets('b', ['10.77.0.1']);
    await eventually(async () => assert.ok((await w.conditions('a')).includes('Degraded True/StaleSpec')));
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
  },

  async 'without any pool a Service says so, and is served by the first that comes'(w) {
    await w.start();
    await w.create('a');
    await eventually(async () => assert.deepEqual(await w.conditions('a'), waiting));
    assert.match(await w.message('a', 'Serving'), /FL_POOL_MISSING: there is no IPAddressPool/);
    await w.pool('default', ['10.77.0.0/24']);
    await w.gets('a', ['10.77.0.0']);
    assert.deepEqual(await w.conditions('a'), served);
  },
};
