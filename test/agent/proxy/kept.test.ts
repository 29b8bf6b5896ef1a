import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSliceKeeper, keptService } from '../../../src/agent/proxy/kept.ts';
import type { Endpoint, EndpointSlice, Service } from '../../../src/core/objects.ts';

const metadata = {
  name: 'shop',
  namespace: 'web',
  uid: 'u',
  resourceVersion: '7',
  creationTimestamp: '2026-11-20T00:00:00Z',
  generation: 3,
  labels: { app: 'shop', 'service.kubernetes.io/service-proxy-name': 'mine', 'kubernetes.io/service-name': 'shop' },
  annotations: { note: 'x', 'fairlead.dev/weight': '3' },
};

test('of a Service everything that the proxy reads is kept, and no more', () => {
  const service: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.1',
      ports: [{ port: 80 }],
      selector: { app: 'shop' },
      loadBalancerSourceRanges: ['10.0.0.0/8'],
    },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] }, conditions: [{ type: 'x', status: 'True' }] },
  };
  assert.deepEqual(keptService(service), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'shop',
      namespace: 'web',
      uid: 'u',
      resourceVersion: '7',
      creationTimestamp: '2026-11-20T00:00:00Z',
      labels: { 'service.kubernetes.io/service-proxy-name': 'mine' },
    },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.1',
      ports: [{ port: 80 }],
      loadBalancerSourceRanges: ['10.0.0.0/8'],
    },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
  });
});

test('of a slice everything that the proxy reads is kept, and what is absent reads as the API says', () => {
  const endpoints = [
    { addresses: ['10.64.1.2'], nodeName: 'n1', hostname: 'h', targetRef: { name: 'p' }, zone: 'z1' },
    {
      addresses: ['10.64.1.3'],
      conditions: { ready: false, serving: true, terminating: true },
      hints: { forZones: [{ name: 'z1' }] },
    },
  ] as readonly Endpoint[];
  const slice: EndpointSlice = {
    metadata,
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: '', port: 8080, appProtocol: 'h2c' }],
  };
  assert.deepEqual(createSliceKeeper()(slice), {
    metadata: {
      name: 'shop',
      namespace: 'web',
      uid: 'u',
      resourceVersion: '7',
      creationTimestamp: '',
      labels: { 'kubernetes.io/service-name': 'shop' },
      annotations: { 'fairlead.dev/weight': '3' },
    },
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['10.64.1.2'], conditions: { ready: true, serving: true, terminating: false }, nodeName: 'n1' },
      {
        addresses: ['10.64.1.3'],
        conditions: { ready: false, serving: true, terminating: true },
        hints: { forZones: [{ name: 'z1' }] },
      },
    ],
    ports: [{ name: '', port: 8080 }],
  });
});
