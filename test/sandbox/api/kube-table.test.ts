/** Tables against those of a real kube-apiserver: the same columns and, but for ages of a second, the same cells. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { tableOf } from '../../../src/sandbox/api/table.ts';
import { type Answer, ask } from '../../kube/ask.ts';
import { howToGetKube } from '../../kube/build.ts';
import { findRealApi } from '../../kube/cluster.ts';
import { whenServed } from './json.ts';
import { things } from './things.ts';

const api = await findRealApi({ after });
const skip = api === undefined ? `no kube-apiserver: ${howToGetKube}` : false;
const asTable = 'application/json;as=Table;v=v1;g=meta.k8s.io';

async function send(method: string, path: string, body?: object, accept?: string): Promise<Answer> {
  if (api === undefined) throw new Error('no kube-apiserver');
  return ask(api, method, path, body, accept === undefined ? {} : { accept });
}

interface Table {
  readonly metadata: object;
  readonly columnDefinitions: readonly { readonly description: string }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object: unknown }[] | null;
}

/** Ages stand still in the comparison; whether they are ages does not. */
const comparable = ({ columnDefinitions, rows, ...table }: Table) => ({
  ...table,
  columnDefinitions: columnDefinitions.map(({ description: _text, ...column }) => column),
  rows: (rows ?? []).map((row) => ({
    ...row,
    cells: row.cells.map((cell) =>
      typeof cell === 'string' ? cell.replace(/^\d+s$/, 'AGE').replace(/\d+s ago/, 'AGE ago') : cell,
    ),
  })),
});

async function compare(kind: string, path: string, columns?: readonly object[]): Promise<void> {
  for (const includeObject of ['Metadata', 'None', 'Object'] as const) {
    const answer = await send('GET', `${path}?includeObject=${includeObject}`, undefined, asTable);
    assert.equal(answer.status, 200, answer.text);
    const list = (await send('GET', path)).json as {
      readonly apiVersion: string;
      readonly metadata: { readonly resourceVersion: string };
      readonly items: readonly object[];
    };
    assert.ok(list.items.length > 0);
    const mine = tableOf(
      kind,
      list.items.map((item) => {
        const object = { kind, apiVersion: list.apiVersion, ...item };
        return includeObject === 'Object' ? object : withoutOldGeneration(object);
      }),
      {
        now: Date.now(),
        includeObject,
        resourceVersion: list.metadata.resourceVersion,
        ...(columns === undefined ? {} : { columns }),
      },
    );
    assert.deepEqual(comparable(mine as Table), comparable(answer.json as Table), path);
  }
}

/** kube-apiserver shows this annotation of a DaemonSet but not with its metadata alone. */
function withoutOldGeneration(object: object): object {
  const { annotations, ...metadata } = (object as { metadata: { annotations?: object } }).metadata;
  const { 'deprecated.daemonset.template.generation': _old, ...kept } = (annotations ?? {}) as Record<string, string>;
  return { ...object, metadata: { ...metadata, ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }) } };
}

const meta = (name: string, more: object = {}) => ({ metadata: { name, ...more } });
const pod = (name: string, spec: object = {}) => ({
  ...meta(name),
  spec: {
    containers: [
      { name: 'a', image: 'i' },
      { name: 'b', image: 'i' },
    ],
    ...spec,
  },
});
const at = '2026-01-01T00:00:00Z';
const state = (name: string, more: object) => ({
  name,
  image: 'i',
  imageID: '',
  ready: false,
  restartCount: 0,
  ...more,
});
const running = (name: string, more: object = {}) =>
  state(name, { ready: true, started: true, state: { running: { startedAt: at } }, ...more });
const terminated = (more: object) => ({ terminated: { startedAt: at, finishedAt: at, containerID: 'x://1', ...more } });

const podStates: readonly { readonly name: string; readonly spec?: object; readonly status: object }[] = [
  { name: 'pending', status: { phase: 'Pending' } },
  {
    name: 'running',
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      podIP: '10.0.0.1',
      podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
      containerStatuses: [running('a'), running('b')],
    },
  },
  {
    name: 'half',
    status: {
      phase: 'Running',
      containerStatuses: [
        running('a'),
        state('b', {
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          restartCount: 3,
          lastState: terminated({ exitCode: 1 }),
        }),
      ],
    },
  },
  {
    name: 'done',
    status: {
      phase: 'Succeeded',
      containerStatuses: [
        state('a', { state: terminated({ exitCode: 0, reason: 'Completed' }) }),
        state('b', { state: terminated({ exitCode: 0, reason: 'Completed' }) }),
      ],
    },
  },
  { name: 'failed', status: { phase: 'Failed', reason: 'Evicted', containerStatuses: [] } },
  {
    name: 'oneof',
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [state('a', { state: terminated({ exitCode: 0, reason: 'Completed' }) }), running('b')],
    },
  },
  {
    name: 'notready',
    status: {
      phase: 'Running',
      containerStatuses: [state('a', { state: terminated({ exitCode: 0, reason: 'Completed' }) }), running('b')],
    },
  },
  {
    name: 'erred',
    status: {
      phase: 'Running',
      containerStatuses: [
        state('a', { state: terminated({ exitCode: 0, reason: 'Completed' }) }),
        state('b', { state: terminated({ exitCode: 2, reason: 'Error' }) }),
      ],
    },
  },
  {
    name: 'signal',
    status: { phase: 'Failed', containerStatuses: [state('a', { state: terminated({ exitCode: 137, signal: 9 }) })] },
  },
  {
    name: 'exit',
    status: { phase: 'Failed', containerStatuses: [state('a', { state: terminated({ exitCode: 3 }) })] },
  },
  {
    name: 'init',
    spec: {
      initContainers: [
        { name: 'i', image: 'i' },
        { name: 'j', image: 'i' },
      ],
    },
    status: {
      phase: 'Pending',
      initContainerStatuses: [
        state('i', { state: terminated({ exitCode: 0 }) }),
        state('j', { state: { running: { startedAt: at } } }),
      ],
    },
  },
  {
    name: 'initerr',
    spec: { initContainers: [{ name: 'i', image: 'i' }] },
    status: {
      phase: 'Pending',
      initContainerStatuses: [state('i', { state: terminated({ exitCode: 1, reason: 'Error' }), restartCount: 2 })],
    },
  },
  {
    name: 'initexit',
    spec: { initContainers: [{ name: 'i', image: 'i' }] },
    status: { phase: 'Pending', initContainerStatuses: [state('i', { state: terminated({ exitCode: 4 }) })] },
  },
  {
    name: 'initwait',
    spec: { initContainers: [{ name: 'i', image: 'i' }] },
    status: {
      phase: 'Pending',
      initContainerStatuses: [state('i', { state: { waiting: { reason: 'ImagePullBackOff' } } })],
    },
  },
  {
    name: 'sidecar',
    spec: { initContainers: [{ name: 's', image: 'i', restartPolicy: 'Always' }] },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Initialized', status: 'True' }],
      initContainerStatuses: [running('s', { restartCount: 1, lastState: terminated({ exitCode: 1 }) })],
      containerStatuses: [running('a'), running('b')],
    },
  },
  {
    name: 'gates',
    spec: { readinessGates: [{ conditionType: 'x/y' }, { conditionType: 'x/z' }] },
    status: { phase: 'Running', nominatedNodeName: 'n', conditions: [{ type: 'x/y', status: 'True' }] },
  },
  {
    name: 'gated',
    status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] },
  },
];

test('tables of built-in kinds', { skip }, async (t) => {
  const ns = '/api/v1/namespaces/default';
  const create = async (path: string, object: object): Promise<void> => {
    const answer = await send('POST', path, object);
    assert.equal(answer.status, 201, answer.text);
  };
  const setStatus = async (path: string, status: object): Promise<void> => {
    const live = (await send('GET', path)).json as object;
    const answer = await send('PUT', `${path}/status`, { ...live, status });
    assert.equal(answer.status, 200, answer.text);
  };

  await t.test('services', async () => {
    const ports = [
      { name: 'a', port: 80 },
      { name: 'b', port: 53, protocol: 'UDP' },
    ];
    await create(`${ns}/services`, { ...meta('cluster'), spec: { ports, selector: { b: '2', a: '1' } } });
    await create(`${ns}/services`, { ...meta('headless'), spec: { clusterIP: 'None' } });
    await create(`${ns}/services`, {
      ...meta('node'),
      spec: { type: 'NodePort', ports, externalIPs: ['1.1.1.1', '1.1.1.2'] },
    });
    await create(`${ns}/services`, { ...meta('name'), spec: { type: 'ExternalName', externalName: 'a.b' } });
    await create(`${ns}/services`, { ...meta('pending'), spec: { type: 'LoadBalancer', ports } });
    await create(`${ns}/services`, { ...meta('lb'), spec: { type: 'LoadBalancer', ports, externalIPs: ['1.1.1.1'] } });
    await setStatus(`${ns}/services/lb`, {
      loadBalancer: { ingress: [{ ip: '203.0.113.9' }, { hostname: 'a.b' }, { ip: '203.0.113.10' }] },
    });
    await compare('Service', `${ns}/services`);
  });

  await t.test('nodes', async () => {
    const ready = (status: string) => ({ type: 'Ready', status, reason: 'R' });
    const info = {
      architecture: 'amd64',
      bootID: '',
      containerRuntimeVersion: 'c://1',
      kernelVersion: '6.1',
      kubeProxyVersion: '',
      kubeletVersion: 'v1.37.2',
      machineID: '',
      operatingSystem: 'linux',
      osImage: 'Debian',
      systemUUID: '',
    };
    await create('/api/v1/nodes', meta('bare'));
    await create('/api/v1/nodes', {
      ...meta('full', {
        labels: { 'node-role.kubernetes.io/b': '', 'node-role.kubernetes.io/a': '', 'kubernetes.io/role': 'c' },
      }),
      spec: { unschedulable: true },
    });
    await setStatus('/api/v1/nodes/full', {
      nodeInfo: info,
      conditions: [ready('True')],
      addresses: [
        { type: 'ExternalIP', address: '1.1.1.1' },
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'InternalIP', address: '10.0.0.2' },
      ],
    });
    await create('/api/v1/nodes', meta('down'));
    await setStatus('/api/v1/nodes/down', { conditions: [ready('Unknown')] });
    await compare('Node', '/api/v1/nodes');
  });

  await t.test('pods in every state', async () => {
    for (const { name, spec, status } of podStates) {
      await create(`${ns}/pods`, pod(name, spec));
      await setStatus(`${ns}/pods/${name}`, status);
    }
    await create(`${ns}/pods`, { ...pod('gone', { nodeName: 'full' }), ...meta('gone', { finalizers: ['x.io/a'] }) });
    await send('DELETE', `${ns}/pods/gone?gracePeriodSeconds=0`);
    await compare('Pod', `${ns}/pods`);
  });

  await t.test('small kinds', async () => {
    await create(`${ns}/configmaps`, { ...meta('c'), data: { a: '1' }, binaryData: { b: 'YQ==' } });
    await compare('ConfigMap', `${ns}/configmaps`);
    await create(`${ns}/secrets`, { ...meta('s'), data: { a: 'YQ==' } });
    await compare('Secret', `${ns}/secrets`);
    await create(`${ns}/serviceaccounts`, meta('a'));
    await compare('ServiceAccount', `${ns}/serviceaccounts`);
    await compare('Namespace', '/api/v1/namespaces');
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    await create(leases, { ...meta('l'), spec: { holderIdentity: 'me' } });
    await create(leases, meta('m'));
    await compare('Lease', leases);
  });

  await t.test('endpoints and slices', async () => {
    const addresses = (count: number) => Array.from({ length: count }, (_, index) => ({ ip: `10.0.0.${index + 1}` }));
    await create(`${ns}/endpoints`, meta('none'));
    await create(`${ns}/endpoints`, { ...meta('few'), subsets: [{ addresses: addresses(2), ports: [{ port: 80 }] }] });
    await create(`${ns}/endpoints`, {
      ...meta('many'),
      subsets: [
        {
          addresses: addresses(3),
          ports: [
            { name: 'a', port: 80 },
            { name: 'b', port: 81 },
          ],
        },
      ],
    });
    await create(`${ns}/endpoints`, { ...meta('portless'), subsets: [{ addresses: addresses(1) }] });
    await create(`${ns}/endpoints`, {
      ...meta('six'),
      subsets: [{ addresses: [{ ip: 'fd00::1' }], ports: [{ port: 80 }] }],
    });
    await compare('Endpoints', `${ns}/endpoints`);
    const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    await create(slices, { ...meta('none'), addressType: 'IPv4', endpoints: [], ports: [] });
    await create(slices, {
      ...meta('many'),
      addressType: 'IPv4',
      endpoints: addresses(5).map(({ ip }) => ({ addresses: [ip] })),
      ports: [
        { name: 'a', port: 1 },
        { name: 'b', port: 2 },
        { name: 'c', port: 3 },
        { name: 'd', port: 4 },
      ],
    });
    await compare('EndpointSlice', slices);
  });

  await t.test('workloads', async () => {
    const template = {
      metadata: { labels: { a: 'b' } },
      spec: {
        nodeSelector: { n: '1' },
        containers: [
          { name: 'a', image: 'i:1' },
          { name: 'b', image: 'i:2' },
        ],
      },
    };
    const selector = {
      matchLabels: { a: 'b' },
      matchExpressions: [
        { key: 'a', operator: 'In', values: ['c', 'b'] },
        { key: 'x', operator: 'DoesNotExist' },
      ],
    };
    const apps = '/apis/apps/v1/namespaces/default';
    await create(`${apps}/deployments`, { ...meta('d'), spec: { replicas: 3, selector, template } });
    await setStatus(`${apps}/deployments/d`, {
      replicas: 3,
      updatedReplicas: 2,
      readyReplicas: 2,
      availableReplicas: 1,
    });
    await create(`${apps}/deployments`, { ...meta('e'), spec: { selector: { matchLabels: { a: 'b' } }, template } });
    await compare('Deployment', `${apps}/deployments`);
    await create(`${apps}/daemonsets`, { ...meta('d'), spec: { selector, template } });
    await setStatus(`${apps}/daemonsets/d`, {
      desiredNumberScheduled: 3,
      currentNumberScheduled: 2,
      numberReady: 1,
      numberMisscheduled: 0,
    });
    await compare('DaemonSet', `${apps}/daemonsets`);
  });

  await t.test('events', async () => {
    const about = { kind: 'Node', name: 'full', namespace: 'default', fieldPath: 'spec.x' };
    await create(`${ns}/events`, {
      ...meta('old'),
      involvedObject: about,
      type: 'Warning',
      reason: 'R',
      message: ' m \n',
      source: { component: 'c', host: 'h' },
      firstTimestamp: new Date().toISOString(),
      lastTimestamp: new Date().toISOString(),
      count: 3,
    });
    await create(`${ns}/events`, { ...meta('bare'), involvedObject: { kind: 'Node', namespace: 'default' } });
    await create('/apis/events.k8s.io/v1/namespaces/default/events', {
      ...meta('new'),
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      regarding: about,
      type: 'Normal',
      reason: 'R',
      action: 'A',
      note: 'n',
      reportingController: 'x.io/c',
      reportingInstance: 'i',
      series: { count: 4, lastObservedTime: new Date().toISOString().replace('Z', '000Z') },
    });
    await compare('Event', `${ns}/events`);
  });

  await t.test('definitions and what they define', async () => {
    const columns = [
      { name: 'Must', type: 'string', jsonPath: '.spec.must' },
      { name: 'Num', type: 'integer', jsonPath: '.spec.i32', priority: 1 },
      { name: 'Float', type: 'number', jsonPath: '.spec.num' },
      { name: 'Bool', type: 'boolean', jsonPath: '.spec.bool', description: 'Whether.' },
      { name: 'List', type: 'string', jsonPath: '.spec.list' },
      { name: 'First', type: 'string', jsonPath: '.spec.list[0]' },
      { name: 'Last', type: 'string', jsonPath: '.spec.list[-1]' },
      { name: 'Port', type: 'integer', jsonPath: '.spec.lmap2[?(@.protocol=="UDP")].port' },
      { name: 'Wrong', type: 'integer', jsonPath: '.spec.must' },
      { name: 'Dots', type: 'string', jsonPath: '.metadata.annotations.a\\.b/c' },
      { name: 'Quoted', type: 'string', jsonPath: ".metadata.annotations['a\\.b/c']" },
      { name: 'When', type: 'date', jsonPath: '.spec.dt' },
      { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
    ];
    const [version] = things.spec.versions;
    const crd = {
      ...things,
      spec: {
        ...things.spec,
        names: { ...things.spec.names, shortNames: ['th', 'ti'] },
        versions: [{ ...version, additionalPrinterColumns: columns }],
      },
    };
    await create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
    const path = '/apis/x.io/v1/namespaces/default/things';
    await whenServed((where) => send('GET', where), path);
    await create(path, { apiVersion: 'x.io/v1', kind: 'Thing', ...meta('bare'), spec: { must: 'a' } });
    await create(path, {
      apiVersion: 'x.io/v1',
      kind: 'Thing',
      ...meta('full', { annotations: { 'a.b/c': 'dotted' } }),
      spec: {
        must: 'a',
        i32: 3,
        num: 0.5,
        bool: false,
        list: ['x', 'y'],
        lmap2: [{ port: 1 }, { port: 2, protocol: 'UDP' }],
        dt: '2020-01-01T00:00:00Z',
      },
    });
    await compare('Thing', path, columns);
    await compare('CustomResourceDefinition', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions');
  });
});
